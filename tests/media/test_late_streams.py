"""Sound and pictures of which a file says nothing at its beginning are found when they come, or their lack is told."""

from pathlib import Path

import numpy as np
import pytest

from datasets.outcomes import MediaError
from extract.container import probe_media
from extract.sound import audio_chunks, read_audio
from features.frames import decode_clip
from tests.media.render import ffmpeg
from tests.media.test_cut_sound import lag
from tests.media.test_sound import PRIMING, chirp

PIECE_S = 7
"""Of pictures that are so large that ffmpeg looks no further (5 MB)."""
CODECS = ("-c:v", "mpeg2video", "-q:v", 3, "-g", 25, "-c:a", "mp2")
SHOWN, HEARD = ("-map", "0:v", "-streamid", "0:256"), ("-map", "0:a", "-streamid", "0:257")
BOTH = ("-map", "0:v", "-map", "0:a", "-streamid", "0:256", "-streamid", "1:257")
OTHER = (*BOTH[:-1], "1:300")
OTHERS = ("-map", "0:v", "-map", "0:a", "-streamid", "0:300", "-streamid", "1:301")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.mkv"
    noise = f"testsrc2=s=320x180:r=25:d={3 * PIECE_S},noise=alls=100:allf=t"
    ffmpeg("-f", "lavfi", "-i", noise, *chirp(3 * PIECE_S, 48000), *CODECS, path)
    return path


def joined_pieces(folder: Path, whole: Path, *streams: tuple[object, ...]) -> Path:
    """Each piece of the film with some of its streams, one behind another in a transport stream."""
    path = folder / "joined.ts"
    with path.open("wb") as file:
        for i, kept in enumerate(streams):
            cut = ("-ss", PIECE_S * i, "-t", PIECE_S, "-i", whole, *CODECS, *kept)
            file.write(ffmpeg(*cut, "-output_ts_offset", PIECE_S * i, "-f", "mpegts", "-"))
    return path


def test_sound_in_the_middle_of_a_transport_stream_is_heard_at_its_time(tmp_path: Path, whole: Path) -> None:
    path, cut = joined_pieces(tmp_path, whole, SHOWN, BOTH, SHOWN), (9000, 12_000)
    assert probe_media(path).audio_codec == "mp2"
    right = read_audio(whole)
    assert abs(lag(read_audio(path, *cut), right, cut[0])) <= PRIMING
    clip = decode_clip(path, *cut)
    assert abs(lag(clip.waveform, right, cut[0])) <= PRIMING
    assert clip.missing_sound_ms == 0
    assert decode_clip(path, 1000, 3000).missing_sound_ms == 2000


def test_pictures_that_come_late_are_seen(tmp_path: Path, whole: Path) -> None:
    path = joined_pieces(tmp_path, whole, HEARD, HEARD, BOTH)
    right = decode_clip(whole, 16_000, 18_000)
    clip = decode_clip(path, 16_000, 18_000)
    assert abs(len(clip.frames_3d) - len(right.frames_3d)) <= 1
    assert np.ptp(clip.frames_3d.astype(int), axis=0).mean() > 10


def test_a_file_without_sound_has_none(tmp_path: Path, whole: Path) -> None:
    path = joined_pieces(tmp_path, whole, SHOWN)
    assert probe_media(path).audio_codec is None
    assert not decode_clip(path, 1000, 3000).has_audio


@pytest.mark.parametrize("following", [OTHER, OTHERS], ids=["sound", "sound and picture"])
def test_a_sound_track_that_another_one_follows_is_told_to_end_early(
    following: tuple[object, ...], tmp_path: Path, whole: Path
) -> None:
    path = joined_pieces(tmp_path, whole, BOTH, following)
    with audio_chunks(path) as chunks:
        for _ in chunks:
            pass
    assert chunks.describe() == "the sound ends at 7.0 of 14.0 s"
    if following is OTHER:
        assert decode_clip(path, 9000, 11_000).missing_sound_ms == 2000
        return
    with pytest.raises(MediaError, match="0 of 2000 ms could be decoded"):
        decode_clip(path, 9000, 11_000)
