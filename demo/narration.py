"""The sound of a whole video and the truth about it: what is said when."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demo.foods import FOOD_BY_NAME
from demo.plan import VIDEO_MS, Step, VideoPlan
from demo.sound import (
    MAX_NARRATION_MS,
    MIN_NARRATION_MS,
    PAUSE_MS,
    SAMPLING_RATE,
    Waveform,
    make_gap,
    music,
    silence,
    soft_noise,
)
from demo.voices import speak

INTRO_MS = 1000


@dataclass
class Track:
    """A waveform that grows, and the truth segments it is made of."""

    pieces: list[Waveform] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    duration_ms: int = 0

    def add(self, wave: Waveform, kind: str, **about: Any) -> None:
        """Append `wave` as one truth segment [start_ms, end_ms) of `kind`; `about`: food, action, step, text, voice."""
        end_ms = self.duration_ms + len(wave) * 1000 // SAMPLING_RATE
        truth = {"start_ms": self.duration_ms, "end_ms": end_ms, "kind": kind}
        self.segments.append(truth | {"text": None, "voice": None} | about)
        self.pieces.append(wave)
        self.duration_ms = end_ms

    @property
    def waveform(self) -> Waveform:
        """Everything added so far, float32 [N]."""
        return np.concatenate(self.pieces)


def narrate(plan: VideoPlan, rng: np.random.Generator) -> Track:
    """Sound and truth of a video: music, then per step its narration and a gap, then music until `VIDEO_MS`."""
    track = Track()
    first, last = plan.steps[0], plan.steps[-1]
    track.add(music(INTRO_MS, rng), "music", food=first.food, action="none", step=None)
    for number, step in enumerate(plan.steps):
        _narrate_step(track, number, step, plan.voice, rng)
    track.add(music(VIDEO_MS - track.duration_ms, rng), "music", food=last.food, action="none", step=None)
    return track


def _narrate_step(track: Track, number: int, step: Step, voice: str, rng: np.random.Generator) -> None:
    about = {"food": FOOD_BY_NAME[step.food].name, "action": step.action, "step": number}
    spoken = _speak_step(step, voice)
    for k, (text, wave) in enumerate(spoken):
        if k:
            pause = silence(PAUSE_MS)
            track.add(_over_noise(pause, step, rng), "noise" if step.is_over_noise else "silence", **about)
        track.add(_over_noise(wave, step, rng), "speech", **about, text=text, voice=voice)
    track.add(make_gap(step.gap_kind, step.gap_ms, rng), step.gap_kind, **about)


def _speak_step(step: Step, voice: str) -> list[tuple[str, Waveform]]:
    """Sentences in order until the step is long enough; one that would make it too long is left out."""
    spoken: list[tuple[str, Waveform]] = []
    total_ms = 0
    for text in step.sentences:
        wave = speak(text, voice)
        wave_ms = len(wave) * 1000 // SAMPLING_RATE + (PAUSE_MS if spoken else 0)
        if total_ms + wave_ms > MAX_NARRATION_MS:
            continue
        spoken.append((text, wave))
        total_ms += wave_ms
        if total_ms >= MIN_NARRATION_MS:
            break
    return spoken


def _over_noise(wave: Waveform, step: Step, rng: np.random.Generator) -> Waveform:
    if not step.is_over_noise:
        return wave
    return wave + soft_noise(len(wave) * 1000 // SAMPLING_RATE, rng)
