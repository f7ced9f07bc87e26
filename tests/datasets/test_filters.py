"""Rules over figures: how they are read, and what they leave out."""

import pyarrow as pa
import pytest
from pydantic import ValidationError

from datasets.filters import (
    FilterSettings,
    count_rules,
    judge_clips,
    list_figures,
    read_figures,
    read_rule,
    weigh,
)
from datasets.outcomes import OK, failed
from datasets.tables import make_table, write_part

MADE = {"recipe": "r", "run_id": "x"}
STILL = {"a": 0.1, "b": 0.9, "c": None, "d": 0.5, "v": 0.9}
SPLITS = {"a": "train", "b": "train", "c": "train", "d": "train", "v": "val"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("filtered")
    rows = [{"clip_id": c, "video_id": f"video {c}", "split": split, **OK} for c, split in SPLITS.items()]
    write_part(root, "splits", make_table("splits", rows, **MADE))
    rows = [
        {"clip_id": c, "video_id": f"video {c}", "still_share": still, "level_db": -20.0 if c == "a" else -60.0, **OK}
        for c, still in STILL.items()
        if c != "c"
    ]
    rows.append({"clip_id": "c", "video_id": "video c", **failed("media_missing")})
    write_part(root, "qualities", make_table("qualities", rows, **MADE))
    rows = [{"video_id": f"video {c}", "is_permitted": c != "a", **OK} for c in SPLITS]
    write_part(root, "permissions", make_table("permissions", rows, **MADE))
    return str(root)


def judge(root, **settings):
    filters = FilterSettings(**settings)
    return judge_clips(filters, read_figures(root, filters))


def left_out(root, rule, **settings):
    return judge(root, rules={"rule": rule}, **settings)["clip_id"].to_pylist()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("qualities.still_share <= 0.5", ["b"]),
        ("qualities.still_share<0.5", ["b", "d"]),
        ("qualities.still_share > .2", ["a"]),
        ("qualities.still_share == 5e-1", ["a", "b"]),
        ("qualities.still_share != 0.9", ["b"]),
        ("qualities.level_db >= -45", ["b", "d"]),
        ("permissions.is_permitted == 1", ["a"]),
    ],
)
def test_a_clip_that_does_not_fulfil_a_rule_is_left_out_of_train_alone(root, rule, expected):
    assert left_out(root, rule) == expected


def test_a_clip_without_the_figure_is_kept_or_dropped_as_chosen(root):
    assert left_out(root, "qualities.still_share <= 0.5", missing="drop") == ["b", "c"]
    rows = judge(root, rules={"still": "qualities.still_share <= 0.5"}, missing="drop").to_pylist()
    assert {row["clip_id"]: row["reason"] for row in rows} == {"b": "rule_not_fulfilled", "c": "figure_missing"}
    assert {row["rule"] for row in rows} == {"still"}


def test_val_and_test_are_filtered_when_that_is_asked_for(root):
    assert left_out(root, "qualities.still_share <= 0.5", splits=("train", "val")) == ["b", "v"]


def test_a_rule_with_a_weight_drops_nothing_and_weighs_only_train(root):
    judged = judge(root, rules={"still": "qualities.still_share <= 0.5 else 0.2"}, splits=("train", "val"))
    assert judged["status"].to_pylist() == ["ok"]
    assert weigh(["a", "b", "v"], judged).tolist() == [1, 0.2, 1]


def test_weights_of_several_rules_are_multiplied_and_one_that_leaves_out_wins(root):
    rules = {"still": "qualities.still_share <= 0.5 else 0.5", "faint": "qualities.level_db >= -45 else 0.5"}
    assert weigh(["a", "b", "d"], judge(root, rules=rules)).tolist() == [1, 0.25, 0.5]
    rules["faint"] = "qualities.level_db >= -45"
    assert weigh(["a", "b", "d"], judge(root, rules=rules)).tolist() == [1, 0, 0]


def test_each_rule_is_counted_with_what_it_alone_leaves_out(root):
    filters = FilterSettings(rules={"still": "qualities.still_share <= 0.5", "faint": "qualities.level_db >= -45"})
    figures = read_figures(root, filters)
    still, faint = count_rules(filters, figures, judge_clips(filters, figures))
    assert (still["falls"], still["alone"], still["without_figure"], still["clips"]) == (1, 0, 1, 4)
    assert (faint["falls"], faint["alone"]) == (2, 1)


def test_the_recipe_is_of_the_rules_and_of_the_figures_that_they_read(root, tmp_path):
    def recipe(where=root, **settings):
        return read_figures(where, FilterSettings(**settings)).recipe

    one = {"rules": {"still": "qualities.still_share <= 0.5"}}
    assert recipe(**one) == recipe(rules={"still": " qualities.still_share<=0.50 "})
    others = [{"rules": {"still": "qualities.still_share <= 0.50001"}}, {**one, "missing": "drop"}]
    assert len({recipe(**one), *(recipe(**other) for other in others)}) == 3
    rows = [{"clip_id": c, "video_id": f"video {c}", "split": split, **OK} for c, split in SPLITS.items()]
    write_part(tmp_path, "splits", make_table("splits", rows, **MADE))
    rows = [{"clip_id": c, "video_id": f"video {c}", "still_share": s, **OK} for c, s in STILL.items()]
    write_part(tmp_path, "qualities", make_table("qualities", rows, **MADE))
    assert recipe(tmp_path, **one) == recipe(**one)
    write_part(tmp_path, "qualities", make_table("qualities", [{**rows[0], "still_share": 0.2}], attempt=1, **MADE))
    assert recipe(tmp_path, **one) != recipe(**one)


def test_every_number_of_a_clip_or_its_video_can_be_named(root):
    known = list_figures()
    assert {"qualities.music_share", "clips.speech_ms", "log_mel.num_frames", "videos.duration_ms"} <= set(known)
    assert not {"qualities.clip_id", "evaluations.recall_at_10", "searches.num_results"} & set(known)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("still", "qualities.stil_share <= 0.5", "did you mean 'qualities.still_share'?"),
        ("still", "quality.still_share <= 0.5", "did you mean 'qualities.still_share'?"),
        ("still", "qualities.still_share", "must be like"),
        ("still", "qualities.still_share <= nan", "must be like"),
        ("still", "qualities.still_share <= 1e999999", "must be a number"),
        ("still", "qualities.still_share <= 0.5 else 0", "must be from 0.001 to 1"),
        ("still", "qualities.still_share <= 0.5 else 2", "must be from 0.001 to 1"),
        ("still", "__import__('os').system('x') <= 1", "must be like"),
        ("still", "qualities.still_share <= " + "9" * 100_000, "must be like"),
        ("Still pictures", "qualities.still_share <= 0.5", "a rule's name"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_line_that_names_it(name, text, told):
    with pytest.raises(ValueError, match=told.replace("?", r"\?")) as caught:
        read_rule(name, text)
    assert name[:80] in str(caught.value) and len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    with pytest.raises(ValidationError):
        FilterSettings(rules={name: text})


def test_a_rule_over_a_table_that_nothing_has_filled_says_what_to_run(root, tmp_path):
    rows = [{"clip_id": "a", "video_id": "a", "split": "train", **OK}]
    write_part(tmp_path, "splits", make_table("splits", rows, **MADE))
    with pytest.raises(ValueError, match=r"filters.rules.rule: the table qualities of .* is empty: run .*describe"):
        left_out(tmp_path, "qualities.still_share <= 0.5")


def test_rows_are_as_many_as_clips_fall_and_hold_the_figure(root):
    judged = judge(root, rules={"still": "qualities.still_share <= 0.5"})
    assert judged.schema.field("value").type == pa.float64()
    assert judged["value"].to_pylist() == pytest.approx([0.9])
