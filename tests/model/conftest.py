"""Puts the helper modules of this folder on the path, and a small set of clips."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_clips import make_clips

from model.data import ClipSet


@pytest.fixture
def clips() -> ClipSet:
    return make_clips(24)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A training looks for shorter ones beside its folder: so no test sees another's."""
    folder = tmp_path / "own"
    folder.mkdir()
    return folder
