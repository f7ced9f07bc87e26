"""A small world with clips that should not be in it: speech about something else, talking heads, standing title cards.

Pictures and voices are the demo's, features EfficientNet-Lite0's; nothing is encoded as video, so that hundreds of
clips take minutes.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.signal import resample_poly

from datasets.outcomes import OK
from datasets.tables import add_common_columns, make_table, record_run, write_part
from demo.pictures import draw_food, draw_frame
from demo.plan import Step, VideoPlan, plan_channel
from demo.sound import SAMPLING_RATE
from demo.voices import speak
from features.audio import SAMPLING_RATE as AUDIO_RATE
from features.clip_features import Encoders
from features.encoders.encoder import Encoder, load_encoder
from features.feature_tables import ClipFeatures, Problem, build_tables, normalise_rows, sound_rows, spectrogram

KINDS = ("good", "off-topic", "talking head", "still")
SHARES = (0.7, 0.1, 0.1, 0.1)
SMALL_TALK = (
    "今日は朝から雨が降っていて、洗濯物が乾きません。", "チャンネル登録と高評価をよろしくお願いします。",
    "先週の日曜日に友達と映画を見に行きました。", "電車が遅れて、会社に三十分も遅刻しました。",
    "新しい靴を買ったので、公園まで歩きました。", "来月は京都へ旅行に行く予定です。",
    "昨日の試合はとても面白かったです。", "この部屋の壁は去年白く塗りました。",
    "最近は本を読む時間がありません。", "駅前の道路は工事をしています。",
)  # fmt: skip
SECONDS, CANVAS, FRAME = 5.5, (900, 506), (398, 224)
MADE = {"recipe": "agreement", "run_id": "agreement"}


def build_world(
    root: Path, num_videos: int, num_test: int = 0, seed: int = 5, encoder_sound: Encoder | None = None
) -> dict[str, str]:
    """Write a root of `num_videos` videos of eight clips; done once.

    The last `num_test` are of split test, and nothing is planted in them; the others are of train.

    Returns:
        {clip_id: one of `KINDS`}
    """
    plans = plan_channel(num_videos, seed, {})
    encoders = Encoders(load_encoder("efficientnet_lite0"), None, encoder_sound)
    kinds: dict[str, str] = {}
    clips: list[ClipFeatures] = []
    for number, plan in enumerate(plans):
        rng = np.random.default_rng([seed, number])
        # Before anything else is drawn: a second call makes no clip, and must say the same of those that are there.
        drawn = rng.choice(KINDS, len(plan.steps), p=SHARES if number < num_videos - num_test else (1, 0, 0, 0))
        for place, (step, kind) in enumerate(zip(plan.steps, map(str, drawn), strict=True)):
            clip_id = f"{plan.video_id}_{place * 10_000:09d}_{place * 10_000 + 8000:09d}"
            kinds[clip_id] = kind
            if not (root / "splits" / "_run.json").exists():
                clips.append(_make_clip(clip_id, plan, step, kind, plans, encoders, rng))
    if clips:
        tables = build_tables(clips, encoders.dims)
        test = {plan.video_id for plan in plans[num_videos - num_test :]}
        rows = [
            {"clip_id": c.clip_id, "video_id": c.video_id, "split": "test" if c.video_id in test else "train", **OK}
            for c in clips
        ]
        parts = {name: add_common_columns(table, **MADE) for name, table in tables.items()}
        for name, part in (parts | {"splits": make_table("splits", rows, **MADE)}).items():
            write_part(root, name, part)
            record_run(root, name, MADE["recipe"], {})
    return kinds


def _make_clip(
    clip_id: str, plan: VideoPlan, step: Step, kind: str, plans: list[VideoPlan], encoders: Encoders, rng: Any
) -> ClipFeatures:
    voice = plan.voice if plan.voice.startswith("espeak") else "espeak:ja+f2:150:50"
    texts: tuple[str, ...] = step.sentences
    if kind == "off-topic":  # half of it is about another food, half about nothing that is cooked
        others = [other for other in plans[int(rng.integers(len(plans)))].steps if other.food != step.food]
        texts = others[0].sentences if rng.random() < 0.5 else tuple(rng.permutation(SMALL_TALK))
    waves, length = [], 0
    for text in texts:
        waves += [speak(text, voice), np.zeros(SAMPLING_RATE // 4, np.float32)]
        length += len(waves[-2])
        if length > SECONDS * SAMPLING_RATE:
            break
    wave = np.concatenate(waves)
    canvas = {"talking head": _draw_head, "still": _draw_card}.get(
        kind, lambda _: draw_food(step.food, step.picture_seed)
    )(rng)
    action = {"talking head": "mix", "still": "none"}.get(kind, step.action)
    times = [0.0 if kind == "still" else float(t) for t in range(0, int(len(wave) / SAMPLING_RATE), 2)]
    frames = np.stack([np.asarray(draw_frame(canvas, action, t).resize(FRAME)) for t in times])
    factor = int(np.gcd(AUDIO_RATE, SAMPLING_RATE))
    sound = resample_poly(wave, AUDIO_RATE // factor, SAMPLING_RATE // factor).astype(np.float32)
    no_3d, rows_2d = Problem("no_video", "none was computed"), normalise_rows(encoders.encoder_2d(frames))
    heard = sound_rows(sound, encoders.encoder_sound)
    return ClipFeatures(clip_id, plan.video_id, 0, rows_2d, no_3d, 0, spectrogram(sound), rows_sound=heard)


def _draw_head(rng: Any) -> Image.Image:
    """Somebody before a wall, drawn; of nobody."""
    image = Image.new("RGB", CANVAS, _colour(rng, 60, 220))
    draw = ImageDraw.Draw(image)
    x, y = 450 + int(rng.integers(-80, 80)), 250 + int(rng.integers(-30, 30))
    draw.ellipse((x - 110, y - 140, x + 110, y + 150), fill=_colour(rng, 110, 230))
    draw.pieslice((x - 120, y - 160, x + 120, y + 40), 180, 360, fill=_colour(rng, 0, 90))
    for side in (-45, 45):
        draw.ellipse((x + side - 16, y - 20, x + side + 16, y + 2), fill="white")
        draw.ellipse((x + side - 7, y - 16, x + side + 7, y - 2), fill=(40, 20, 10))
    draw.ellipse((x - 35, y + 60, x + 35, y + 60 + int(rng.integers(8, 40))), fill=(160, 40, 50))
    draw.rectangle((x - 190, y + 150, x + 190, CANVAS[1]), fill=_colour(rng, 0, 255))
    return image


def _draw_card(rng: Any) -> Image.Image:
    """A title card: bars in place of lines of text."""
    image = Image.new("RGB", CANVAS, _colour(rng, 0, 255))
    draw = ImageDraw.Draw(image)
    for line in range(int(rng.integers(1, 5))):
        top = 100 + 80 * line
        draw.rectangle((150, top, 150 + int(rng.integers(200, 600)), top + 30), fill=_colour(rng, 0, 255))
    return image


def _colour(rng: Any, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue
