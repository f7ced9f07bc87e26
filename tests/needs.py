"""What some tests need that is installed or fetched apart, and the word that skips them without it."""

from pathlib import Path

import pytest

from features.quality.packaged import MODELS, WEIGHTS_DIR

READERS_PYTHON = Path(__file__).parents[1] / ".venv-readers" / "bin" / "python"
"""An environment with what others read releases by, and without this software."""
needs_readers = pytest.mark.skipif(not READERS_PYTHON.is_file(), reason="needs `make setup-readers`")
needs_models = pytest.mark.skipif(
    not all(model.path_in(WEIGHTS_DIR).is_file() for model in MODELS.values()), reason="needs `make weights-describe`"
)
