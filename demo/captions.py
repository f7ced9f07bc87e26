"""Spoken captions of pictures in two languages, in the layout of Places Audio: what the cascade is shown on."""

import wave
from concurrent.futures import ProcessPoolExecutor
from csv import DictReader
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from demo.foods import FOODS
from demo.pictures import draw_food
from demo.render import write_whole
from demo.sound import SAMPLING_RATE
from demo.voices import speak

SPLITS = ("train", "val", "test")
CARRIERS = {
    "en": (
        "This is {}.", "You can see {}.", "A picture of {}.", "Today we cook with {}.", "I bought {} this morning.",
        "Somebody holds {} in the hand.", "There is {} in front of us.", "In the shop we find {}.",
        "Let us have a look at {}.", "We are going to need {} for this dish.",
    ),
    "ja": (
        "これは{}です。", "{}が見えます。", "{}の写真です。", "今日は{}を使って料理します。", "今朝{}を買いました。",
        "誰かが{}を手に持っています。", "目の前に{}があります。", "お店で{}を見つけました。", "{}を見てみましょう。",
        "この料理には{}が必要です。",
    ),
}  # fmt: skip
_ENGLISH = [
    f"espeak:{language}+{variant}:{rate}:{pitch}"
    for language, variant, (rate, pitch) in product(
        ("en-us", "en-gb-x-rp", "en-gb-scotland"),
        ("f2", "f4", "Alicia", "m3", "m7", "edward"),
        ((150, 45), (185, 55)),
    )
]
_JAPANESE = [
    *(f"mei:{half_tones}:{speed}" for half_tones, speed in product((-4, -2, 0, 2), (0.9, 1.1))),
    *(f"espeak:ja+{variant}:{rate}:50" for variant, rate in product(("f2", "m3", "Alicia", "edward"), (150, 175))),
]
VOICES = {"en": tuple(_ENGLISH), "ja": tuple(_JAPANESE)}


@dataclass(frozen=True)
class Caption:
    """One spoken caption."""

    uttid: str
    image: str
    """Path of the photograph below the folder of photographs."""
    speaker: str
    text: str
    split: str
    food: str
    variety: str


def plan_captions(photos: Path, language: str, per_train_photo: int, seed: int) -> list[Caption]:
    """A caption for every photograph of val and test, several for one of train; sentence and voice drawn by seed.

    Raises:
        ValueError: no photographs below `photos`/train, or one of an unknown variety.
    """
    rng = np.random.default_rng([seed, sorted(CARRIERS).index(language)])
    captions = []
    for split in SPLITS:
        found = sorted((photos / split).glob("*/*.jpg"))
        if not found:
            raise ValueError(f"no photographs in {photos / split}: name the folder that holds train, val and test")
        for photo, number in product(found, range(per_train_photo if split == "train" else 1)):
            variety = photo.stem.rsplit("_", 1)[0]
            word = _word(variety, language)
            text = CARRIERS[language][rng.integers(len(CARRIERS[language]))].format(word)
            speaker = VOICES[language][rng.integers(len(VOICES[language]))]
            uttid = f"{language}-{split}-{photo.stem}-{number}"
            image = str(photo.relative_to(photos))
            captions.append(Caption(uttid, image, speaker, text, split, photo.parent.name, variety))
    return captions


def draw_pictures(folder: Path, language: str, per_food: int, seed: int = 1) -> None:
    """Drawings of every food of the channel as FOLDER/SPLIT/FOOD/FOOD_NUMBER.jpg; what is there stays.

    Args:
        folder: what `plan_captions` takes for photographs.
        language: each has pictures of its own.
        per_food: of train, as many of test, a quarter as many of val.
        seed: the same gives the same pictures.
    """
    sizes = {"train": per_food, "val": max(1, per_food // 4), "test": per_food}
    names = [(split, food.name, number) for food in FOODS for split in SPLITS for number in range(sizes[split])]
    for index, (split, food, number) in enumerate(names):
        path = folder / split / food / f"{food}_{number:03d}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".tmp")
            (own_seed,) = np.random.SeedSequence([seed, sorted(CARRIERS).index(language), index]).generate_state(1)
            draw_food(food, int(own_seed)).save(unfinished, format="JPEG", quality=90)
            unfinished.rename(path)


def _word(variety: str, language: str) -> str:
    words = _read_words()
    if variety not in words:
        raise ValueError(f"no words for {variety!r}: add a line to demo/caption_words.tsv")
    word = words[variety][language]
    if language != "en":
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


@cache
def _read_words() -> dict[str, dict[str, str]]:
    with Path(__file__).with_name("caption_words.tsv").open(encoding="utf-8") as file:
        return {row["variety"]: row for row in DictReader(file, delimiter="\t")}


def render_captions(
    photos: Path, out: Path, language: str, per_train_photo: int = 1, seed: int = 1, workers: int = 1
) -> list[Path]:
    """Speak the captions of `plan_captions` to OUT/LANGUAGE/*.wav; what is there already stays.

    Returns:
        The metadata of each split, OUT/LANGUAGE_SPLIT.json in the layout of Places Audio Captions.
    """
    captions = plan_captions(photos, language, per_train_photo, seed)
    folder = out / language
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_render_caption, captions, [folder] * len(captions), chunksize=50))
    return [_write_metadata(captions, split, photos, folder) for split in SPLITS]


def _write_metadata(captions: list[Caption], split: str, photos: Path, folder: Path) -> Path:
    data = [
        {
            "uttid": caption.uttid,
            "speaker": caption.speaker,
            "asr_text": caption.text,
            "wav": f"{caption.uttid}.wav",
            "image": caption.image,
            "food": caption.food,
        }
        for caption in captions
        if caption.split == split
    ]
    about = {"image_base_path": str(photos.resolve()), "audio_base_path": str(folder.resolve()), "data": data}
    path = folder.with_name(f"{folder.name}_{split}.json")
    write_whole(path, about)
    return path


def _render_caption(caption: Caption, folder: Path) -> None:
    path = folder / f"{caption.uttid}.wav"
    if path.exists():
        return
    samples = (np.clip(speak(caption.text, caption.speaker), -1, 1) * 32767).astype("<i2")
    temporary = path.with_suffix(".tmp")
    with wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLING_RATE)
        file.writeframes(samples.tobytes())
    temporary.rename(path)
