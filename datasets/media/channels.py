"""How the channels of a sound track become one: mixed as ffmpeg mixes them, or one of them taken where they cancel."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.media.container import make_graph, usual_layout

MOST_PLANES = 7
"""PyAV 18 takes what lies behind the eighth plane of a frame for a ninth, and reads it."""
CANCELLED_SHARE = 0.05
"""Of two equal channels' energy: their sum has less of it than this only when one is the other turned upside down.
Codecs leave a rest: Vorbis up to 3 %."""
QUIET = 1e-7
"""Mean square (-70 dB) below which channels say nothing: pauses, and what codecs leave in them."""
WINDOW_S = 0.02
"""Channels are looked at in pieces of this length: so well is known where they begin to cancel."""
LEAST_S = 0.25
"""What cancels, or no longer does, for less sound than this is a moment of ordinary stereo, and changes nothing."""
LONGEST_WAIT_S = 1.0
"""No longer is waited for so much sound."""
SAMPLED_S = 0.1
SAMPLED_NTH = 4
"""A frame this often, and these of its samples, tell that nothing cancels, as in nearly all sound; only else are all
looked at."""

_FULL_SCALES = {"u8": 128, "s16": 1 << 15, "s32": 1 << 31, "flt": 1, "dbl": 1}
_FULL_SCALES |= {f"{name}p": scale for name, scale in _FULL_SCALES.items()}
# What libswresample makes of each for mono, beside FL and FR (auto_matrix of libswresample/rematrix.c).
_SURROUND = 0.5**0.5
_WEIGHTS = {"FC": 2**0.5, "LFE": 0.0, "LFE2": 0.0, "BL": _SURROUND, "BR": _SURROUND, "BC": _SURROUND}
_WEIGHTS |= {"SL": _SURROUND, "SR": _SURROUND}
Part = tuple[list[Any], int | None]
"""Frames, and the channel to hear alone in them; None where all are mixed."""


class _Windows(NamedTuple):
    energies: npt.NDArray[np.float64]
    """[channels, windows] mean squares, as each comes into the mixture."""
    is_loud: npt.NDArray[np.bool_]
    """[windows]"""
    is_cancelled: npt.NDArray[np.bool_]
    """[windows]: mixing would lose nearly all of the sound."""


def parts_by_channel(frames: list[Any], last: int | None, is_end: bool) -> tuple[list[Part], list[Any]]:
    """The frames, cut where their channels begin or end to cancel out; and those of which more sound must decide.

    Args:
        frames: of one kind, decoded, that follow one another.
        last: the channel that was heard alone before them, which a pause keeps.
        is_end: no other frame follows: all must be decided.
    """
    first = frames[0]
    step = max(1, int(SAMPLED_S * first.sample_rate / max(frame.samples for frame in frames)))
    if first.layout.nb_channels < 2 or first.format.name not in _FULL_SCALES:
        return [(frames, None)], []
    if last is None and not _windows(frames[::-step], SAMPLED_NTH).is_cancelled.any():
        return [(frames, None)], []
    changes, open_from = _changes(_windows(frames), last)
    window = int(WINDOW_S * first.sample_rate)
    num_samples = sum(frame.samples for frame in frames)
    num_decided = len(frames)
    if open_from is not None and not is_end and num_samples - open_from * window < LONGEST_WAIT_S * first.sample_rate:
        ends = np.cumsum([frame.samples for frame in frames])
        num_decided = int(np.searchsorted(ends, open_from * window, side="right"))
    decided, waiting = frames[:num_decided], frames[num_decided:]
    num_samples = sum(frame.samples for frame in decided)
    changes = [(at * window, channel) for at, channel in changes if at * window < num_samples]
    pieces = _cut(decided, [at for at, _ in changes])
    channels = [last, *(channel for _, channel in changes)]
    return [(piece, channel) for piece, channel in zip(pieces, channels, strict=True) if piece], waiting


def _windows(frames: Sequence[Any], nth: int = 1) -> _Windows:
    """What every `nth` sample of some frames says of them."""
    layout, name, rate = frames[0].layout, frames[0].format.name, frames[0].sample_rate / nth
    arrays = [frame.to_ndarray() for frame in frames]
    samples = np.concatenate([a if len(a) > 1 else a.reshape(-1, layout.nb_channels).T for a in arrays], axis=1)[
        :, ::nth
    ]
    length = min(samples.shape[1], int(WINDOW_S * rate))
    num_windows = samples.shape[1] // max(1, length)
    placed = (_has_no_places(layout.name, layout.nb_channels) and usual_layout(layout.nb_channels)) or layout
    weights = np.array([_WEIGHTS.get(channel.name, 1.0) for channel in placed.channels])
    levels = samples[:, : num_windows * length].astype(np.float64)
    levels = (levels - 128 if name.startswith("u8") else levels) / _FULL_SCALES[name]
    heard = weights[:, None, None] * levels.reshape(len(levels), num_windows, length)  # [channels, windows, samples]
    energies = np.mean(heard**2, axis=2)
    # Twice the energies for equal channels, once for unlike ones or a lone one, nothing for one and its negative.
    mixed = np.mean(heard.sum(axis=0) ** 2, axis=1)
    is_loud = energies.max(axis=0) >= QUIET
    return _Windows(energies, is_loud, is_loud & (mixed < 2 * CANCELLED_SHARE * energies.sum(axis=0)))


def _changes(windows: _Windows, last: int | None) -> tuple[list[tuple[int, int | None]], int | None]:
    """From which window on which channel is heard alone, and the window from which too little sound decides."""
    changes: list[tuple[int, int | None]] = []
    others: list[int] = []
    for window in np.flatnonzero(windows.is_loud):
        if windows.is_cancelled[window] == (last is not None):
            others = []
            continue
        others.append(int(window))
        if len(others) * WINDOW_S >= LEAST_S:
            last = int(windows.energies[:, others].sum(axis=1).argmax()) if last is None else None
            changes.append((others[0], last))
            others = []
    return changes, others[0] if others else None


def _cut(frames: Sequence[Any], places: Sequence[int]) -> list[list[Any]]:
    """Frames in so many parts more as there are places, in samples, to cut at."""
    parts: list[list[Any]] = [[]]
    position, left = 0, list(places)
    for frame in frames:
        first = 0
        while left and left[0] < position + frame.samples:
            cut = left.pop(0) - position
            parts[-1] += [part_of(frame, first, cut)] if cut > first else []
            parts.append([])
            first = cut
        parts[-1].append(part_of(frame, first, frame.samples) if first else frame)
        position += frame.samples
    return parts


def part_of(frame: Any, first: int, last: int) -> Any:
    """The samples [first, last) of a frame, as a frame without time."""
    width = 1 if frame.format.is_planar else frame.layout.nb_channels
    samples = np.ascontiguousarray(frame.to_ndarray()[:, first * width : last * width])
    part = type(frame).from_ndarray(samples, format=frame.format.name, layout=frame.layout.name)
    part.sample_rate, part.time_base = frame.sample_rate, frame.time_base
    return part


def packed(frame: Any) -> Any:
    """A frame whose channels lie in one plane, side by side, at the same time."""
    name = frame.format.name.removesuffix("p")
    source = f"abuffer=sample_rate={frame.sample_rate}:sample_fmt={frame.format.name}"
    source += f":channel_layout={frame.layout.name}:time_base=1/{frame.sample_rate}"
    graph = make_graph([source, f"aformat=sample_fmts={name}", "abuffersink"])
    graph.push(frame)
    made = graph.pull()
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


def mixing_filters(layout: str, num_channels: int, channel: int | None) -> list[str]:
    """What stands before libswresample, which mixes every layout that says where its channels are or is usual.

    Args:
        layout: as libavutil names it.
        num_channels: of the layout.
        channel: the one to hear alone, if one is.
    """
    if layout.startswith("ambisonic"):
        channel = 0  # the one that hears every direction alike
    if channel is not None:
        return [f"pan=mono|c0=c{channel}"]
    if _has_no_places(layout, num_channels) and usual_layout(num_channels) is None:
        return ["pan=mono|c0<" + "+".join(f"c{number}" for number in range(num_channels))]
    return []


def _has_no_places(layout: str, num_channels: int) -> bool:
    return layout == f"{num_channels} channels"
