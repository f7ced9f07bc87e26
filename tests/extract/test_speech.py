import csv

import pytest

from extract.speech import SpeechSettings, segment_speech, segment_video

LABEL_OF = {"male": "speech", "female": "speech", "noEnergy": "no_energy"}


def reference_segments(path):
    """The library's own file of segments: label, start and stop in seconds, tab-separated."""
    with path.open() as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [(LABEL_OF.get(row[0], row[0]), round(float(row[1]) * 1000), round(float(row[2]) * 1000)) for row in rows]


@pytest.mark.media
@pytest.mark.parametrize("exact", [False, True])
def test_musanmix_equals_the_librarys_reference_file(shared_media, exact):
    expected = reference_segments(shared_media / "audio" / "ina_musanmix-smn-gender.csv")
    media_path = shared_media / "audio" / "ina_musanmix.mp3"
    assert segment_speech(media_path, settings=SpeechSettings(exact=exact)) == expected


@pytest.mark.media
def test_row_of_a_video(shared_media):
    row, segments = segment_video("video", shared_media / "audio" / "ina_musanmix.mp3", SpeechSettings())
    assert len(row.pop("fingerprint")) == 2320
    assert row == {
        "video_id": "video",
        "engine": "fast-smn",
        "num_segments": 12,
        "duration_ms": 74522,
        "speech_ms": 9420,
        "status": "ok",
        "reason": None,
        "detail": None,
    }
    assert len(segments) == 12
