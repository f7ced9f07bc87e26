"""One stream of VP9 that changes its size, one of H.264 that changes its colours: each picture as it is by itself."""

from pathlib import Path

import av
import numpy as np
import pytest

from features.frames import decode_clip
from tests.media.render import X264, ffmpeg, film, grey, joined, reference_rows

VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-crf", 20, "-b:v", 0, "-g", 25)
SIZE = (160, 90)


def append(path: Path, pieces: list[Path], seconds: float) -> Path:
    """The packets of some files in one stream, each file's so many seconds later."""
    with av.open(str(path), "w") as made:
        stream = None
        for number, piece in enumerate(pieces):
            with av.open(str(piece)) as given:
                stream = stream or made.add_stream_from_template(given.streams.video[0])
                for packet in given.demux(video=0):
                    if packet.dts is not None:
                        shift = round(number * seconds / packet.time_base)
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        made.mux(packet)
    return path


@pytest.mark.parametrize("sizes", [[(320, 180), SIZE, (320, 180)], [SIZE, (640, 360)]])
def test_vp9_may_change_its_size(sizes: list[tuple[int, int]], tmp_path: Path) -> None:
    pieces = [film(tmp_path / f"{i}.webm", 2, *VP9, size=size, first=50 * i) for i, size in enumerate(sizes)]
    path = append(tmp_path / "sizes.webm", pieces, 2)
    right = np.concatenate([reference_rows(piece, SIZE, None)[1] for piece in pieces])
    clip, again = decode_clip(path), decode_clip(path)
    assert np.array_equal(clip.frames_3d, again.frames_3d)
    assert len(clip.frames_3d) == len(right)
    assert np.abs(grey(clip.frames_3d) - grey(right)).mean(axis=(1, 2)).max() < 5
    assert np.array_equal(decode_clip(path, 2000, 3000).frames_3d, clip.frames_3d[48:72])


def test_colours_that_change_are_read_as_each_is(tmp_path: Path) -> None:
    kinds = (("bt709", "tv"), ("smpte170m", "tv"), ("bt709", "pc"))
    pieces = []
    for number, (colours, levels) in enumerate(kinds):
        told = ("-colorspace", colours, "-color_primaries", colours, "-color_trc", colours, "-color_range", levels)
        source = ("-f", "lavfi", "-i", f"testsrc2=s={SIZE[0]}x{SIZE[1]}:r=24:d=2")
        pieces.append(tmp_path / f"{number}.mp4")
        converted = ("-vf", f"scale=out_color_matrix={colours}:out_range={levels},format=yuv420p")
        ffmpeg(*source, *converted, *told, *X264, "-bf", 0, "-output_ts_offset", 2 * number, pieces[-1])
    path = joined(tmp_path / "colours.mp4", pieces)
    found = decode_clip(path).frames_3d
    assert len(found) == 144
    for number, piece in enumerate(pieces):
        alone = decode_clip(piece).frames_3d
        assert np.array_equal(found[48 * number : 48 * number + 48], alone[-48:])
