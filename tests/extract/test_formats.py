"""Which formats are fetched, on lists in the shape that YouTube's have (worst first, as yt-dlp sorts them)."""

from typing import Any

import pytest

from extract.site.formats import NoFormatError, choose_formats, format_key


def sound(number: str, language: str | None = None, preference: int = -1, **more: Any) -> dict[str, Any]:
    return {
        "source_format_id": number,
        "protocol": "https",
        "vcodec": "none",
        "acodec": "mp4a.40.2",
        "language": language,
        "language_preference": preference,
        **more,
    }


def picture(
    number: str, height: int, codec: str = "avc1.4d401e", width: int | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "source_format_id": number,
        "protocol": "https",
        "vcodec": codec,
        "acodec": "none",
        "height": height,
        "width": width or height * 16 // 9,
        **more,
    }


def both(number: str, height: int, language: str | None = None, preference: int = -1, **more: Any) -> dict[str, Any]:
    return {**picture(number, height), **sound(number, language, preference), "vcodec": "avc1.42001E", **more}


def chosen(*formats: dict[str, Any], max_height: int = 480) -> str:
    return "+".join(item["source_format_id"] for item in choose_formats(formats, max_height))


def test_one_file_with_both_is_preferred() -> None:
    assert chosen(sound("140"), picture("134", 360), picture("135", 480), both("18", 360)) == "18"


def test_without_one_file_video_and_sound_apart() -> None:
    assert chosen(sound("139"), sound("140"), picture("134", 360), picture("135", 480)) == "135+140"


def test_h264_goes_before_other_codecs_of_the_same_height() -> None:
    assert chosen(
        sound("140"), picture("135", 480), picture("244", 480, "vp9"), picture("397", 480, "av01.0.04M.08")
    ) == ("135+140")


def test_other_codec_is_taken_before_too_high_a_picture() -> None:
    assert chosen(sound("140"), picture("136", 720), picture("244", 480, "vp9")) == "244+140"


def test_too_high_a_picture_is_better_than_none() -> None:
    assert chosen(sound("140"), picture("136", 720)) == "136+140"


def test_upright_480p_is_480_wide() -> None:
    assert chosen(sound("140"), picture("135", 854, width=480)) == "135+140"
    assert chosen(sound("140"), picture("244", 480, "vp9"), picture("136", 1280, width=720)) == "244+140"


def test_unknown_codecs_mean_both() -> None:
    assert chosen({"source_format_id": "0", "protocol": "https"}) == "0"


def test_original_track_is_taken_and_the_dub_refused() -> None:
    formats = [
        sound("140-0", "ja", -1),
        sound("140-1", "en", 10),
        picture("135", 480),
        both("18-0", 360, "ja", -1),
        both("18-1", 240, "en", 10),
    ]
    assert chosen(*formats) == "18-1"


def test_unmarked_single_file_beside_marked_tracks_may_be_a_dub() -> None:
    assert (
        chosen(sound("140-0", "ja", -1), sound("140-1", "en", 10), picture("135", 480), both("18", 360)) == "135+140-1"
    )


def test_only_dubbed_tracks_are_refused() -> None:
    with pytest.raises(NoFormatError) as caught:
        choose_formats([sound("140-0", "en", -1), sound("140-1", "fr", 5), picture("135", 480)], 480)
    assert caught.value.reason == "no_original_audio"


def test_described_track_is_no_original() -> None:
    with pytest.raises(NoFormatError, match="no_original_audio"):
        choose_formats([sound("140", "ja-desc", -10), picture("135", 480)], 480)


def test_single_language_needs_no_mark() -> None:
    assert chosen(sound("140", "ja", -1), picture("135", 480)) == "135+140"


def test_video_without_sound_is_refused() -> None:
    with pytest.raises(NoFormatError, match="no_audio"):
        choose_formats([picture("135", 480)], 480)


def test_no_picture_at_all_is_left_to_the_warnings() -> None:
    assert choose_formats([sound("140")], 480) == []


@pytest.mark.parametrize("protocol", ["rtmp", "m3u8", "mhtml", "ism", "websocket_frag", "file", None])
def test_other_protocols_are_never_taken(protocol: str | None) -> None:
    assert choose_formats([both("18", 360, protocol=protocol)], 480) == []


def test_protected_formats_are_never_taken() -> None:
    assert choose_formats([both("18", 360, has_drm=True)], 480) == []


def test_another_size_is_another_encoding() -> None:
    assert format_key([both("18", 360, filesize=1)]) != format_key([both("18", 360, filesize=2)])
