"""Each rule of selection, with its reason."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from datasets.outcomes import VIDEO_REASONS
from extract.clip_lists import ClipListError
from extract.selection import SelectionSettings, preselect, read_known, select

GOOD: dict[str, Any] = {
    "title": "肉じゃがの作り方",
    "description": "ほくほくの肉じゃがです",
    "duration": 300,
    "view_count": 5000,
    "age_limit": 0,
    "live_status": "not_live",
    "availability": "public",
    "license": None,
}


def reason_of(fields: dict[str, Any], **settings: Any) -> str | None:
    outcome = select({**GOOD, **fields}, SelectionSettings(**settings))
    return outcome["reason"] if outcome else None


def test_good_video_is_taken() -> None:
    assert reason_of({}) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"duration": 9.9994}, "video_too_short"),
        ({"duration": 10}, None),
        ({"duration": 2000}, None),
        ({"duration": 2000.001}, "video_too_long"),
        ({"duration": None}, None),
        ({"view_count": 99}, "too_few_views"),
        ({"view_count": 100}, None),
        ({"view_count": None}, None),
        ({"live_status": "is_live"}, "not_yet_live"),
        ({"live_status": "is_upcoming"}, "not_yet_live"),
        ({"live_status": "post_live"}, "not_yet_live"),
        ({"live_status": "was_live"}, None),
        ({"age_limit": 18}, "age_restricted"),
        ({"availability": "subscriber_only"}, "members_only"),
        ({"availability": "private"}, "private"),
        ({"availability": "unlisted"}, None),
        ({"title": "Beef stew", "description": "Today we cook a stew"}, "wrong_language"),
        ({"language": "en"}, "wrong_language"),
    ],
)
def test_rule(fields: dict[str, Any], reason: str | None) -> None:
    assert reason_of(fields) == reason
    assert reason is None or reason in VIDEO_REASONS


@pytest.mark.parametrize(
    ("license_name", "reason"),
    [
        (None, "license_not_allowed"),
        ("Standard YouTube License", "license_not_allowed"),
        ("Creative Commons Attribution license (reuse allowed)", None),
    ],
)
def test_creative_commons_switch(license_name: str | None, reason: str | None) -> None:
    assert reason_of({"license": license_name}, creative_commons_only=True) == reason


def test_any_language() -> None:
    assert reason_of({"title": "Beef stew", "description": ""}, language=None) is None


def test_age_restricted_on_request() -> None:
    assert reason_of({"age_limit": 18}, allow_age_restricted=True) is None


def test_search_result_is_judged_by_what_it_has() -> None:
    settings = SelectionSettings()
    assert preselect({"duration_ms": None, "view_count": None}, settings) is None
    assert preselect({"duration_ms": 3_000_000, "view_count": 500}, settings)["reason"] == "video_too_long"
    assert preselect({"duration_ms": 60_000, "view_count": 5}, settings)["reason"] == "too_few_views"


def test_videos_that_another_dataset_has_are_dropped_before_they_are_asked_for(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.csv"
    earlier.write_text("video_id,start,end\nabc,0,9\n")
    settings = SelectionSettings(known_lists=(earlier,))
    found = {"duration_ms": 60_000, "view_count": 500}
    assert preselect({"video_id": "abc", **found}, settings)["reason"] == "already_known"
    assert preselect({"video_id": "new", **found}, settings) is None


def test_list_of_known_videos_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ClipListError, match=r"nowhere\.csv"):
        read_known((Path("nowhere.csv"),))


def test_durations_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_duration_ms must be below max_duration_ms, got 5000 and 5000"):
        SelectionSettings(min_duration_ms=5000, max_duration_ms=5000)


def test_unknown_language_is_refused() -> None:
    with pytest.raises(ValidationError, match="language must be an ISO 639 code"):
        SelectionSettings(language="xx")
