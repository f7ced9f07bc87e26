import pytest

from demo.foods import FOOD_BY_NAME, FOODS
from demo.plan import ACTIONS, channel_ids, find_photographs, plan_channel

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


def test_fourteen_videos_show_at_least_ten_foods_and_every_action_in_three_voices():
    steps = [step for plan in PLANS for step in plan.steps]
    assert len({step.food for step in steps}) >= 10
    assert {step.action for step in steps} == set(ACTIONS)
    assert len({plan.voice for plan in PLANS}) >= 3


def test_steps_are_five_or_six_and_apart_by_more_than_the_bridged_pause():
    assert all(len(plan.steps) in (5, 6) for plan in PLANS)
    assert all(step.gap_ms >= 1500 for plan in PLANS for step in plan.steps)


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
