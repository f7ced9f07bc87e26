"""Fixtures that every folder's tests share."""

from pathlib import Path

import hypothesis
import pytest

from tests.whisper_model import join_whisper

# A deadline of an example is a test of how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Real photographs and recordings of the neighbour folder; tests that need them are marked `media`."""
    path = Path(__file__).parents[2] / "shared" / "media"
    if not path.is_dir():
        pytest.skip("needs ../shared/media: recordings that are too large for the repository; CI has them")
    return path


@pytest.fixture(scope="session")
def whisper_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a real Whisper model."""
    return join_whisper(tmp_path_factory.mktemp("whisper") / "base")
