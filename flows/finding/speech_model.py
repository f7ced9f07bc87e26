"""AVLnet's audio branch with its log-mel front end as one ONNX graph, for a browser."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import scipy.signal
import torch
from torch import Tensor, nn

from features.audio import FFT_SIZE, FLOOR_DB, MIN_POWER, mel_basis
from model.avlnet import AVLNet


class SpeechQuery(nn.Module):
    """What is spoken to its embedding; the browser cuts the frames (search_speech.js)."""

    cosines: Tensor
    sines: Tensor
    basis: Tensor

    def __init__(self, model: AVLNet) -> None:
        super().__init__()
        self.audio, self.gate, self.projection = model.DAVEnet, model.GU_audio, model.DAVEnet_projection
        window = np.asarray(scipy.signal.windows.hamming(FFT_SIZE, sym=True))
        angles = 2 * np.pi * np.outer(np.arange(FFT_SIZE), np.arange(FFT_SIZE // 2 + 1)) / FFT_SIZE
        for name, matrix in (
            ("cosines", window[:, None] * np.cos(angles)),
            ("sines", window[:, None] * np.sin(angles)),
            ("basis", mel_basis().T),
        ):
            self.register_buffer(name, torch.from_numpy(matrix.astype(np.float32)))

    def forward(self, frames: Tensor, padding: Tensor, weights: Tensor) -> Tensor:
        """Embed one utterance.

        Args:
            frames: [T, 400] samples of each frame, mean removed, emphasised, not windowed.
            padding: [1, 40, P] zeros that follow the utterance.
            weights: [S] of the network's output steps, 1 / n for the n that count.

        Returns:
            [embedding_dim]
        """
        power = ((frames @ self.cosines) ** 2 + (frames @ self.sines) ** 2) @ self.basis
        decibels = 10.0 * torch.log10(power.clamp(min=MIN_POWER))
        mel = (decibels - decibels.max()).clamp(min=-FLOOR_DB)
        hidden = self.audio(torch.cat([mel.T.unsqueeze(0), padding], dim=2))
        pooled = (hidden * weights).sum(dim=2)
        embedding: Tensor = self.projection(self.gate(pooled))
        return embedding[0]


def export_speech_query(model: AVLNet) -> bytes:
    """The graph as an ONNX file: float32, lengths open."""
    # torch's exporter asks for it only after the work, and in words of its own.
    import onnx  # noqa: F401

    query = SpeechQuery(model).eval()
    example = (torch.zeros(64, FFT_SIZE), torch.zeros(1, 40, 64), torch.full((8,), 0.125))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        # It warns of its younger brother, which needs two more packages, and of each length.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            query,
            example,
            f"{folder}/query.onnx",
            dynamo=False,
            input_names=["frames", "padding", "weights"],
            output_names=["embedding"],
            dynamic_axes={"frames": {0: "T"}, "padding": {2: "P"}, "weights": {0: "S"}},
        )
        return Path(folder, "query.onnx").read_bytes()
