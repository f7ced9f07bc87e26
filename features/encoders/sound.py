"""Networks of sound, by torch: a waveform in, the mean of the network's frames in each second out."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from datasets.devices import device_errors
from features.audio import SAMPLING_RATE
from features.encoders.engines import Float32
from features.encoders.torch_engine import DEVICE_LOCKS, choose_device, compute_exactly, precision_on

_WINDOW_SAMPLES = 30 * SAMPLING_RATE
"""What Whisper hears at once; HuBERT's attention would grow with the square of what it hears."""
_LEAST_SAMPLES = 400
"""What HuBERT's first frame takes; less at the end of a waveform is not heard."""


class SecondsOfSound(nn.Module):
    """A waveform [N], 16 kHz -> the mean of a network's frames in each second, [T, D].

    A window that is not full is heard as the network was trained to, Whisper's with silence after it; of what follows
    the sound no frame counts. PE-AV takes 48 kHz: it hears what the waveform holds below 8 kHz.
    """

    def __init__(self, network: Any, prepare: Any, frames_a_second: int = 50) -> None:
        super().__init__()
        self.network = network
        self.prepare = prepare
        self.frames_a_second = frames_a_second

    def forward(self, waveform: Float32) -> torch.Tensor:
        """Windows one by one, so that what comes out depends on nothing else."""
        starts = range(0, len(waveform) - _LEAST_SAMPLES + 1, _WINDOW_SAMPLES)
        rows = [self._hear(waveform[start : start + _WINDOW_SAMPLES]) for start in starts]
        return torch.cat(rows) if rows else torch.zeros(0, self.network.config.hidden_size)

    def _hear(self, window: Float32) -> torch.Tensor:
        import scipy.signal  # here: encoding frames needs none of it

        rate = self.prepare.sampling_rate
        sound = window if rate == SAMPLING_RATE else scipy.signal.resample_poly(window, rate, SAMPLING_RATE)
        prepared = self.prepare(sound, sampling_rate=rate, return_tensors="pt")
        inputs = prepared[self.prepare.model_input_names[0]].to(next(self.parameters()).device)
        num_frames = -(-len(window) * self.frames_a_second // SAMPLING_RATE)
        frames = self.network(inputs).last_hidden_state[0, :num_frames]
        return torch.stack([second.mean(0) for second in frames.split(self.frames_a_second)])


class SoundEngine:
    """A network of sound on a torch device, or on the first GPU of several; it takes turns with those of pictures."""

    name = "torch"
    batch_size = 1

    def __init__(self, network: nn.Module, device: str, precision: str) -> None:
        self.device = choose_device(device)
        self.precision = precision_on(self.device, precision)
        with device_errors(str(self.device)):
            self.network = network.to(self.device)
        compute_exactly()

    def run(self, windows: npt.NDArray[Any]) -> Float32:
        """A waveform float32 [N] -> float32 [T, D]; of less than 25 ms there is no row.

        Raises:
            DeviceError: the device has no room for a window, or fails.
        """
        precise = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with DEVICE_LOCKS[str(self.device)], device_errors(str(self.device)), torch.inference_mode(), precise:
            return np.asarray(self.network(windows).float().cpu().numpy())
