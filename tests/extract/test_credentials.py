"""What a file's own Content Credentials reserve, by files that are signed here."""

from pathlib import Path

import pytest

from extract.permission.credentials import read_reservations
from tests.content_credentials import sign_media, training
from tests.extract.data_channel import make_video


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    make_video(path)
    return path


def told_by(plain: Path, target: Path, *assertions) -> list[str]:
    return [str(signal) for signal in read_reservations(sign_media(plain, target, *assertions))]


@pytest.mark.parametrize(
    ("assertion", "told"),
    [
        (training(ai_training="notAllowed"), ["c2pa: reserved (cawg.ai_training: notAllowed)"]),
        (
            training("c2pa.training-mining", data_mining="constrained"),
            ["c2pa: reserved (c2pa.data_mining: constrained)"],
        ),
        (training(ai_training="allowed", ai_inference="notAllowed"), []),
        ({"label": "cawg.training-mining", "data": {"entries": ["cawg.ai_training"]}}, []),
        ({"label": "org.other", "data": {"entries": {"cawg.ai_training": {"use": "notAllowed"}}}}, []),
    ],
)
def test_training_and_mining_are_reserved_by_name(plain: Path, tmp_path: Path, assertion, told) -> None:
    assert told_by(plain, tmp_path / "signed.mp4", assertion) == told


def test_what_a_file_was_made_of_reserves_it_too(plain: Path, tmp_path: Path) -> None:
    first = sign_media(plain, tmp_path / "first.mp4", training(ai_training="notAllowed"))
    assert told_by(first, tmp_path / "second.mp4") == ["c2pa: reserved (cawg.ai_training: notAllowed)"]


def test_nothing_is_said_by_a_file_without_credentials_or_with_broken_ones(plain: Path, tmp_path: Path) -> None:
    signed = sign_media(plain, tmp_path / "signed.mp4", training(ai_training="notAllowed"))
    content = bytearray(signed.read_bytes())
    place = content.index(b"jumb") + 4
    content[place : place + 40] = bytes(40)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    assert [read_reservations(path) for path in (plain, broken, Path(__file__), tmp_path / "none.mp4")] == [[]] * 4


def test_without_the_package_no_credentials_are_read(plain: Path, tmp_path: Path, monkeypatch) -> None:
    signed = sign_media(plain, tmp_path / "signed.mp4", training(ai_training="notAllowed"))
    monkeypatch.setattr("extract.permission.credentials.importlib.util.find_spec", lambda name: None)
    assert read_reservations(signed) == []
