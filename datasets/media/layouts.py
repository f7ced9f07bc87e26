"""Sound whose channels lie in an order of their own (`chan` of QuickTime and CAF, a program config element of AAC).

FFmpeg keeps such an order in a list, which PyAV 18 takes for its own whenever a layout is looked at, of a track or of a
frame. It is freed twice then, and that ends the process.
"""

import ctypes
from typing import Any

from datasets.outcomes import MediaError

_ALIKE = {"SL": "BL", "SR": "BR"}
"""Channels that count alike where all are mixed to one."""


def take_usual_orders(container: Any) -> None:
    """Have every track decoded in an order that needs no list.

    Raises:
        MediaError: "decode_failed", the order of a track cannot be told by a usual one.
    """
    for stream in container.streams.audio:
        if stream.codec_context is None:  # no decoder
            continue
        layout = stream.codec_context.layout
        if "(" not in layout.name:  # a name without the channels in it, or only how many there are
            continue
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))  # for ever: freed, it would free the track's list
        names, places = [channel.name for channel in layout.channels], _places(type(layout))
        usual = sorted({*names} & {*places}, key=lambda name: places[name])  # its own, where that is a usual one
        if [_ALIKE.get(name, name) for name in names] != [_ALIKE.get(name, name) for name in usual]:
            container.close()
            raise MediaError("decode_failed", f"the order of its channels, {'+'.join(names)[:100]}, is not read")
        stream.codec_context.layout = "+".join(usual)


def _places(kind: Any) -> dict[str, int]:
    """Where FFmpeg puts each channel that has a name."""
    return {kind(hex(1 << bit)).channels[0].name: bit for bit in range(64)}
