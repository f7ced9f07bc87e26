"""Ids, settings and their recipe, and the vocabularies of the tables."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets.ids import check_video_id, make_clip_id
from datasets.outcomes import MAX_DETAIL_CHARS, OK, Policy, Status, TransientError, dropped, failed
from datasets.schemas import TABLES, is_volatile
from datasets.settings import OUTSIDE_RECIPE, Settings, recipe_of

# Ids


@pytest.mark.parametrize("video_id", ["dQw4w9WgXcQ", "-starts_with", "_", "a" * 64])
def test_ids_from_the_web_that_are_safe_are_kept(video_id):
    assert check_video_id(video_id) == video_id


@pytest.mark.parametrize(
    "video_id", ["", "a" * 65, "../etc", "a/b", "a b", "a\n", "肉", "a.mp4", "a\0", "%2e", None, 7]
)
def test_ids_that_could_leave_their_folder_are_refused(video_id):
    with pytest.raises(ValueError, match="video_id must be 1 to 64") as error:
        check_video_id(video_id)
    assert "\n" not in str(error.value)


def test_a_clip_id_has_the_times_in_nine_digits():
    assert make_clip_id("-a_b", 5, 50_005) == "-a_b_000000005_000050005"


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_clip_ids_of_a_video_sort_by_time(first, second):
    ids = [make_clip_id("v", start, 10**9 - 1) for start in (first, second)]
    assert (ids[0] < ids[1]) == (first < second)


# Settings and recipes


class Stage(Settings):
    length_ms: int = 5000
    """Length."""
    num_threads: Annotated[int, OUTSIDE_RECIPE] = 1
    """Threads."""


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Stage().length_ms = 1


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(ValidationError, match="lenght_ms"):
        Stage(lenght_ms=1)


def test_the_docstring_under_a_field_is_its_description():
    assert Stage.model_json_schema()["properties"]["length_ms"]["description"] == "Length."


def test_the_recipe_changes_with_what_changes_the_result():
    assert recipe_of(Stage()) != recipe_of(Stage(length_ms=1))


def test_the_recipe_keeps_with_what_does_not():
    assert recipe_of(Stage()) == recipe_of(Stage(num_threads=8))


def test_the_recipe_depends_on_every_part_and_their_order():
    assert len({recipe_of(Stage()), recipe_of(Stage(), "a"), recipe_of(Stage(), "b"), recipe_of("a", Stage())}) == 4


def test_the_recipe_does_not_depend_on_the_order_of_keys():
    assert recipe_of({"a": 1, "b": 2}) == recipe_of({"b": 2, "a": 1})


def test_the_recipe_is_the_same_in_another_process():
    code = "from datasets.settings import recipe_of; print(recipe_of({'b': {'x'}.pop(), 'a': ['肉', 1.5, None]}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert found.stdout.strip() == recipe_of({"a": ["肉", 1.5, None], "b": "x"})


def test_the_recipe_is_sixteen_hexadecimal_digits():
    assert len(recipe_of()) == 16
    int(recipe_of(), 16)


# Schemas


def test_every_key_is_a_column_of_its_table():
    assert all(set(spec.key) <= set(spec.schema.names) for spec in TABLES.values())


def test_every_table_ends_with_the_common_columns():
    common = ["status", "reason", "detail", "recipe", "attempt", "run_id"]
    assert all(spec.schema.names[-6:] == common for spec in TABLES.values())


def test_every_reason_has_a_policy_and_is_a_code():
    for spec in TABLES.values():
        for reason, policy in spec.reasons.items():
            assert isinstance(policy, Policy)
            assert reason.replace("_", "").isalpha()
            assert reason == reason.lower()


def test_the_agreed_reasons_for_missing_media_are_there():
    agreed = """removed private geo_blocked age_restricted members_only not_yet_live bot_check rate_limited
        no_js_runtime po_token_required no_original_audio wrong_language video_too_long video_too_short no_audio
        decode_failed network disk_full tombstoned unexpected"""
    assert set(agreed.split()) <= set(TABLES["media"].reasons)


def test_times_are_int64_milliseconds():
    for spec in TABLES.values():
        for column in spec.columns:
            if column.name.endswith("_ms"):
                assert column.type in (pa.int64(), pa.list_(pa.int64()))


def test_an_outcome_has_status_reason_and_detail():
    assert OK == {"status": Status.OK, "reason": None, "detail": None}
    assert dropped("no_speech", "quiet") == {"status": "dropped", "reason": "no_speech", "detail": "quiet"}
    assert failed("network")["status"] == "failed"


def test_a_long_detail_is_cut():
    assert len(failed("network", "x" * 5000)["detail"]) == MAX_DETAIL_CHARS


def test_a_transient_error_carries_its_reason():
    error = TransientError("rate_limited", "429")
    assert (error.reason, error.detail, str(error)) == ("rate_limited", "429", "rate_limited: 429")


@pytest.mark.parametrize(("column", "volatile"), [("fetched_at", True), ("run_id", True), ("values", False)])
def test_volatile_columns_are_known_by_name(column, volatile):
    assert is_volatile(column) == volatile
