"""Configuration: one file, one check, one line a fault."""

from pathlib import Path

import pytest

from flows.config import ConfigError, load_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_loads(path):
    assert load_config(path).root


def test_an_unknown_field_is_named_with_its_value(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[clips]\nbridge_gap = 3\n")
    with pytest.raises(ConfigError, match=r"clips\.bridge_gap: no such field .*got 3") as error:
        load_config(path)
    assert "\n" not in str(error.value)


def test_an_out_of_range_value_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"clips\.bridge_gap_ms: .*got -5"):
        load_config(overrides=("clips.bridge_gap_ms=-5",))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("clips.min_ms=true", "clips.min_ms: must not be true"),
        ("run.max_videos=false", "run.max_videos: must not be false"),
        ("clips=3", "clips: must be a stage with fields"),
    ],
)
def test_a_value_of_another_kind_is_no_number_and_no_stage(given, why):
    with pytest.raises(ConfigError, match=why):
        load_config(overrides=(given,))
    assert load_config(overrides=("splits.scale=true",)).splits.scale


def test_a_file_that_windows_wrote_is_read(tmp_path):
    (tmp_path / "c.toml").write_bytes(b'\xef\xbb\xbfroot = "a"\r\n')
    assert load_config(tmp_path / "c.toml").root == "a"


def test_a_missing_file_is_one_line():
    with pytest.raises(ConfigError, match=r"no configuration file nowhere\.toml"):
        load_config(Path("nowhere.toml"))


def test_a_file_that_is_not_toml_is_one_line(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("clips = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(path)


def test_set_wins_over_the_file(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("root = 'a'\n[clips]\nbridge_gap_ms = 100\n")
    config = load_config(path, root="b", overrides=("clips.bridge_gap_ms=700",))
    assert (config.root, config.clips.bridge_gap_ms) == ("b", 700)


def test_set_takes_bare_text():
    assert load_config(overrides=("speech.engine=library",)).speech.engine == "library"


def test_set_without_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"--set takes stage\.field=value, got 'clips'"):
        load_config(overrides=("clips",))
