import pytest

from demo.foods import FOOD_BY_NAME, FOODS
from demo.narration import INTRO_MS
from demo.plan import ACTIONS, VIDEO_MS, channel_ids, find_photographs, plan_channel
from demo.sound import MAX_NARRATION_MS

PLANS = plan_channel(14, 1, {})


def test_a_plan_does_not_depend_on_how_many_videos_follow():
    assert plan_channel(3, 1, {}) == PLANS[:3]


def test_another_seed_is_another_channel():
    assert {plan.video_id for plan in plan_channel(14, 2, {})}.isdisjoint(plan.video_id for plan in PLANS)


def test_ids_are_like_youtubes_and_unique():
    ids = channel_ids(1, 200)
    assert len(set(ids)) == 200
    assert all(len(video_id) == 11 and set(video_id) <= set("-_") | set(map(chr, range(48, 123))) for video_id in ids)


def test_one_id_begins_with_a_hyphen_and_two_differ_only_by_case():
    first, second, third = channel_ids(1, 3)
    assert first.startswith("-") and second != third and second.lower() == third.lower()


def test_every_sentence_names_the_food_of_its_step():
    for plan in PLANS:
        for step in plan.steps:
            assert all(FOOD_BY_NAME[step.food].word in sentence for sentence in step.sentences)


def test_two_videos_together_show_every_food_once():
    for first, second in zip(PLANS[::2], PLANS[1::2], strict=True):
        assert sorted(first.foods + second.foods) == sorted(FOOD_BY_NAME)


def test_voices_differ_from_video_to_video_and_both_engines_speak():
    voices = [plan.voice for plan in PLANS]
    assert len(set(voices)) >= 12 and {voice.split(":")[0] for voice in voices} == {"mei", "espeak"}


def test_no_drawing_is_shown_twice_and_every_action_is_shown():
    steps = [step for plan in PLANS for step in plan.steps]
    assert len({step.picture_seed for step in steps}) == len(steps)
    assert {step.action for step in steps} == set(ACTIONS)


def test_steps_are_apart_by_more_than_the_bridged_pause():
    assert all(step.gap_ms >= 900 for plan in PLANS for step in plan.steps)


def test_the_longest_steps_there_can_be_fit_the_length_of_every_video():
    longest = max(sum(MAX_NARRATION_MS + step.gap_ms for step in plan.steps) for plan in plan_channel(500, 1, {}))
    assert INTRO_MS + longest < VIDEO_MS


def test_music_noise_and_silence_all_stand_between_steps():
    assert {step.gap_kind for plan in PLANS for step in plan.steps} == {"music", "noise", "silence"}


def test_no_photograph_is_shown_twice_while_there_are_others():
    photographs = {food.name: [f"{food.name}/{k}.jpg" for k in range(20)] for food in FOODS}
    shown = [step.picture for plan in plan_channel(14, 1, photographs) for step in plan.steps]
    assert len(set(shown)) == len(shown)


def test_a_folder_without_photographs_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"--media .*: no photographs of Asparagus.* leave --media out"):
        find_photographs(tmp_path)


@pytest.mark.media
def test_real_photographs_of_every_food_are_found(shared_media):
    assert all(len(paths) >= 20 for paths in find_photographs(shared_media).values())
