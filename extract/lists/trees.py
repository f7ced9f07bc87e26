"""The JSON of lists: entries in a list, under their videos' ids, or in the objects that datasets wrap around them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from datasets.numbers import describe
from extract.lists.entries import Entry, EntryReader
from extract.lists.names import holds_times, role_of
from extract.lists.pickles import Ignored
from extract.lists.times import is_time
from extract.lists.videos import youtube_id

SPLITS: Mapping[str, str] = {
    **{name: name for name in ("train", "val", "test")},
    **{"training": "train", "validation": "val", "validate": "val", "valid": "val", "dev": "val"},
    **{"testing": "test", "eval": "test", "evaluation": "test"},
}
"""Names of splits to ours. AVLnet's `eval` is the set that results are reported on."""

# ActivityNet, YouCook2 and COIN; MSR-VTT; results of dense captioning; and what people wrap around their own.
_WRAPPINGS = ("database", "videos", "data", "results")
_ENTRY_WRAPPINGS = ("annotations", "clips", "segments")
_BETWEEN = re.compile(r" *(?:-|–|~|,|;|to) *| +")
# No entry has more names; an object of videos may have millions.
_MAX_NAMES = 100


def read_tree(value: Any, reader: EntryReader, split: Any = None) -> Iterator[Entry]:
    """Every entry of a list's JSON, in its order.

    Raises:
        ValueError: something in it is not understood.
    """
    if isinstance(value, list | tuple):
        for item in value:
            yield from reader.read(item if isinstance(item, Mapping) else {"video_id": item}, split=split)
        return
    if not isinstance(value, Mapping):
        raise ValueError(f"must hold a list or an object, got {describe(value)}")
    roles = [role_of(str(name)) for name in value] if len(value) <= _MAX_NAMES else []
    is_entry = any(role is not None and role[0] in ("video", "address") for role in roles)
    wrappings = _WRAPPINGS if is_entry else _WRAPPINGS + _ENTRY_WRAPPINGS
    if wrapping := next((name for name in wrappings if isinstance(value.get(name), Mapping | list)), None):
        for other in (*_WRAPPINGS, *_ENTRY_WRAPPINGS):
            if other != wrapping and holds_times(value.get(other)):
                raise ValueError(f"holds {wrapping}, and times under {other} beside it")
        reader.seen |= {str(name): None for name in value if name != wrapping}
        yield from read_tree(value[wrapping], reader, split)
    elif value and all(str(name).lower() in SPLITS for name in value):
        for name, listed in value.items():
            yield from read_tree(listed, reader, name)
    elif is_entry:
        yield from reader.read(value, split=split)
    else:
        for key, item in value.items():
            yield from _read_keyed(key, item, reader, split)


def _read_keyed(key: Any, item: Any, reader: EntryReader, split: Any) -> Iterator[Entry]:
    """What stands under a video's id; of what can only be an id no more is asked."""
    is_youtube = youtube_id(key) is not None
    if isinstance(item, Ignored):
        raise ValueError(f"{describe(key)} holds an object of a Python library: write it as JSON or CSV first")
    if isinstance(item, Mapping):
        entries = reader.read(item, key, split)
    elif is_youtube:
        is_span = isinstance(item, str) and list(map(is_time, _BETWEEN.split(item.strip()))) == [True, True]
        entries = reader.read({"clips": item} if is_span or isinstance(item, list | tuple) else {}, key, split)
    else:
        raise ValueError(f"{describe(key)} is not understood: neither a video's id nor clips")
    for entry in entries:
        if entry.start_ms is None and entry.video_id == key and not is_youtube:
            raise ValueError(f"{describe(key)} is not understood: no clips, and no id of YouTube")
        yield entry
