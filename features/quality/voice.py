"""How good the speech sounds, by DNSMOS P.835: opinions from 1 to 5 of the voice, of what is behind it, of all.

The package takes a window of 9.01 s every second; we lay windows end to end, a ninth of the work, and repeat a shorter
clip as it does.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from features.frames.decoded import DecodedClip, Float32

_WINDOW = 144_160
_SCALES = {
    "voice_mos": (-0.08397278, 1.22083953, 0.0052439),
    "background_mos": (-0.13166888, 1.60915514, -0.39604546),
    "overall_mos": (-0.06766283, 1.11546468, 0.04602535),
}
"""What the package fits the network's answers to listeners' with: polynomials, highest power first."""


class VoiceQuality:
    """How a clip's sound would be judged."""

    SHAPE = (1, _WINDOW)

    def __init__(self, network: Callable[[Float32], list[Float32]]) -> None:
        self._network = network
        self._sound: list[Float32] = []

    def add(self, piece: DecodedClip) -> None:
        """Keep the sound."""
        self._sound.append(piece.waveform)

    def columns(self) -> dict[str, float | None]:
        """Means over the clip's windows; None without sound."""
        waveform = np.concatenate(self._sound) if self._sound else np.empty(0, np.float32)
        if not len(waveform):
            return dict.fromkeys(_SCALES)
        while len(waveform) < _WINDOW:
            waveform = np.concatenate([waveform, waveform])
        starts = range(0, len(waveform) - _WINDOW + 1, _WINDOW)
        raw: npt.NDArray[np.float32] = np.stack([self._network(waveform[None, s : s + _WINDOW])[0][0] for s in starts])
        return {
            name: float(np.polyval(scale, raw[:, place]).mean()) for place, (name, scale) in enumerate(_SCALES.items())
        }
