import numpy as np
import pytest

from demo.foods import FOODS
from demo.pictures import draw_food, draw_frame
from demo.plan import ACTIONS


def pixels(image):
    return np.asarray(image, np.float64)[::4, ::4]


@pytest.fixture(scope="module")
def drawings():
    return {food.name: draw_food(food.name, 1) for food in FOODS}


def test_drawings_of_different_foods_have_different_colours(drawings):
    tables = np.median([pixels(image).reshape(-1, 3) for image in drawings.values()], axis=0)
    colours = [(pixels(image).reshape(-1, 3) - tables).mean(axis=0).round(1).tolist() for image in drawings.values()]
    assert len({tuple(colour) for colour in colours}) == len(FOODS)


def test_a_drawing_is_the_same_for_the_same_seed_and_another_for_another(drawings):
    assert draw_food("Carrots", 1).tobytes() == drawings["Carrots"].tobytes()
    assert np.abs(pixels(draw_food("Carrots", 2)) - pixels(drawings["Carrots"])).mean() > 10


@pytest.mark.parametrize("action", [*ACTIONS, "none"])
def test_a_frame_is_240_by_180_and_the_next_ones_differ(drawings, action):
    frames = [draw_frame(drawings["Onion"], action, t) for t in (1.0, 1.4)]
    assert all(frame.size == (240, 180) and frame.mode == "RGB" for frame in frames)
    assert frames[0].tobytes() != frames[1].tobytes()


def test_no_frame_shows_the_canvas_edge(drawings):
    white = drawings["Onion"].copy()
    white.paste((255, 255, 255), (0, 0, *white.size))
    for action in ("peel", "cut", "fry", "boil", "mix", "serve", "none"):
        darkest = [
            np.asarray(draw_frame(white, action, t))[[0, -1]].max(axis=(1, 2)).min() for t in np.arange(0, 15, 0.3)
        ]
        assert min(darkest) == 255, action
