"""The smallest encoder of timm in the table, end to end: features, a model, its figures, a release that names it."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from datasets.files import sha256_of
from datasets.releases.layout import read_manifest, release_path
from datasets.releases.verify import verify_root
from datasets.tables import read_ok, read_table
from features.encoders.libraries import LIBRARIES
from features.encoders.table import ENCODERS
from features.encoders.weights import untrained_weights
from flows.config import load_config
from flows.stages.evaluate import evaluate
from flows.stages.featurize import featurize
from flows.stages.publish import publish
from flows.stages.train import finetune
from tests.flows.conftest import CONFIGS, SMALL

NAME = "timm/mobilenetv3_small_050.lamb_in1k"
MADE_LATER = ("features_*", "log_mel", "pooled", "checkpoints", "evaluations", "ranks", "releases")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_encoder_of_timm_by_file_goes_from_clips_to_a_release_that_names_it(
    small_root, small_config, prefect_server, tmp_path
):
    root = shutil.copytree(small_root, tmp_path / "root", ignore=shutil.ignore_patterns(*MADE_LATER))
    network = LIBRARIES["timm"].build(ENCODERS[NAME].model)
    weights = tmp_path / "weights.safetensors"
    save_file(untrained_weights({key: value.shape for key, value in network.state_dict().items()}), weights)
    config = load_config(
        CONFIGS / "demo.toml",
        str(root),
        (
            *SMALL, f"source.watch_url={small_config.source.watch_url}", f"features.encoder_2d={NAME}",
            f"features.weights_2d={weights}", "features.encoder_3d=none", "train.features=2d",
        ),
    )  # fmt: skip

    featurize(config)
    rows = read_ok(root, "pooled", ["pooled_2d"])["pooled_2d"].to_pylist()
    assert len(rows) == sum(config.splits.sizes.values()) and {len(row) for row in rows} == {ENCODERS[NAME].dim}
    assert finetune(config).is_file()
    evaluate(config)
    assert set(read_table(root, "evaluations")["split"].to_pylist()) >= {"test"}

    release = Path(release_path(root, publish(config)))
    assert verify_root(root) == []
    encoder = read_manifest(release)["families"]["features_2d"]["encoder"]
    license = "not stated; that of the published weights: apache-2.0"
    sha256 = sha256_of(weights)
    assert (encoder["name"], encoder["weights_sha256"], encoder["license"]) == (NAME, sha256, license)
    assert f"| features_2d | {NAME} | openvino, fp32 | trained | {license} | `{sha256}` |" in (
        release / "README.md"
    ).read_text(encoding="utf-8")
