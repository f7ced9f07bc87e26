"""What each video will show and say: foods, steps, sentences, pictures. Planned for the whole channel, then rendered.

A plan is drawn from the seed alone, and the plan of video k does not depend on how many videos follow it, so a channel
can grow without changing what is there.
"""

import base64
import hashlib
import json
import random
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.foods import FOODS, Food
from demo.voices import VARIANTS

PLAN_VERSION = 4  # part of every plan's digest: raise it when the renderer changes what a plan looks or sounds like
STEPS_PER_VIDEO = 8
VIDEO_MS = 70_000
"""Of every video: known before it is rendered, and enough for the longest steps there can be."""

ACTIONS: dict[str, tuple[str, ...]] = {
    "peel": ("{}の皮をむきます。", "{}の皮は薄くむきます。", "{}を水にさらします。"),
    "cut": ("{}を薄く切ります。", "{}は大きさをそろえます。", "{}をしっかり押さえます。"),
    "fry": ("{}を炒めます。", "{}に塩を振ります。", "{}に焼き色をつけます。"),
    "boil": ("{}を茹でます。", "{}の茹で時間は三分です。", "{}の水気を切ります。"),
    "mix": ("{}をよく混ぜます。", "{}に味をつけます。", "{}を冷蔵庫で休ませます。"),
    "serve": ("{}を盛り付けます。", "{}の彩りがきれいですね。", "温かい{}を召し上がれ。"),
}
OPENERS = ("まず、", "次に、", "それでは、", "続いて、", "今度は、")
DISHES = ("炒め物", "サラダ", "スープ", "煮物", "和え物", "グラタン", "味噌汁", "マリネ")
TITLES = (
    "【簡単レシピ】{a}と{b}の{dish}の作り方",
    "{a}の{dish}の作り方｜基本の料理",
    "プロが教える{a}と{b}の{dish} レシピ",
    "{a}たっぷり！{dish}の簡単な作り方",
)
MEI_EVERY = 12
"""Every so many videos speak with the voice that sounds best and costs forty times the others."""


@dataclass(frozen=True)
class Step:
    """One narrated step: a food, an action, the sentences, what is heard behind and after them."""

    food: str
    action: str
    sentences: tuple[str, ...]
    """More than enough for one step; the renderer speaks only as many as it needs."""
    picture: str | None
    """Photograph relative to the media folder; None: drawn with `picture_seed`."""
    picture_seed: int
    gap_kind: str
    """music, noise or silence after the narration."""
    gap_ms: int
    is_over_noise: bool
    """Soft noise behind the voice."""


@dataclass(frozen=True)
class VideoPlan:
    """Everything that decides what one video looks and sounds like."""

    video_id: str
    seed: int
    title: str
    dish: str
    foods: tuple[str, ...]
    voice: str
    steps: tuple[Step, ...]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits: a rendered video with the same digest needs no second rendering."""
        plain = json.dumps([PLAN_VERSION, asdict(self)], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(plain.encode()).hexdigest()[:16]


def make_id(seed: int, name: str) -> str:
    """An id like YouTube's: 11 characters of the URL-safe base64 alphabet, beginning with a letter or digit."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().replace("-", "x").replace("_", "y")[:11]


def channel_ids(seed: int, num_videos: int) -> list[str]:
    """Ids of the narrated videos: the first begins with '-', the second and third differ only by case."""
    ids = [make_id(seed, f"video {k}") for k in range(num_videos)]
    if num_videos > 0:
        ids[0] = "-" + ids[0][1:]
    if num_videos > 2:
        ids[2] = ids[1].swapcase()
    return ids


def find_photographs(media: Path | None) -> dict[str, list[str]]:
    """Photographs per food under media/images/grocery/{train,test}/<food>, as paths relative to `media`.

    Raises:
        ValueError: `media` is given and some food has no photograph there.
    """
    if media is None:
        return {}
    found = {
        food.name: sorted(
            path.relative_to(media).as_posix() for path in media.glob(f"images/grocery/*/{food.name}/**/*.jpg")
        )
        for food in FOODS
    }
    missing = [name for name, paths in found.items() if not paths]
    if missing:
        raise ValueError(
            f"--media {media}: no photographs of {', '.join(missing)} in images/grocery; leave --media out"
        )
    return found


def plan_channel(num_videos: int, seed: int, photographs: dict[str, list[str]]) -> list[VideoPlan]:
    """Plans of `num_videos` videos; no photograph is shown twice before all of its food were shown once."""
    num_shown: Counter[str] = Counter()
    plans = []
    for k, video_id in enumerate(channel_ids(seed, num_videos)):
        rd = random.Random(f"{seed}/{k}")
        plans.append(_plan_video(video_id, seed, k, rd, photographs, num_shown))
    return plans


def _plan_video(
    video_id: str,
    seed: int,
    index: int,
    rd: random.Random,
    photographs: dict[str, list[str]],
    num_shown: "Counter[str]",
) -> VideoPlan:
    foods = _choose_foods(seed, index)
    noisy_step = rd.randrange(STEPS_PER_VIDEO) if index % 4 == 3 else None
    gaps = rd.sample(["music", "noise", *["silence"] * (STEPS_PER_VIDEO - 2)], STEPS_PER_VIDEO)
    steps = []
    for number, (food, gap_kind) in enumerate(zip(foods, gaps, strict=True)):
        picture = _next_photograph(food, seed, photographs, num_shown)
        steps.append(_plan_step(food, number, picture, gap_kind, rd, is_over_noise=number == noisy_step))
    dish = rd.choice(DISHES)
    title = rd.choice(TITLES).format(a=foods[0].word, b=foods[1].word, dish=dish)
    names = tuple(food.name for food in foods)
    return VideoPlan(video_id, seed, title, dish, names, _choose_voice(rd, index), tuple(steps))


def _choose_foods(seed: int, index: int) -> list[Food]:
    """Half of the foods; two videos together show each once, so that none is rarer than another."""
    shuffled = random.Random(f"{seed}/foods/{index // 2}").sample(FOODS, len(FOODS))
    return shuffled[index % 2 * STEPS_PER_VIDEO :][:STEPS_PER_VIDEO]


def _choose_voice(rd: random.Random, index: int) -> str:
    if index % MEI_EVERY == 0:
        return f"mei:{rd.choice([-4, -2, 0, 2])}:{rd.uniform(0.95, 1.1):.2f}"  # higher voices are called music
    return f"espeak:ja+{rd.choice(VARIANTS)}:{rd.randrange(140, 176)}:{rd.randrange(40, 61)}"


def _next_photograph(food: Food, seed: int, photographs: dict[str, list[str]], num_shown: "Counter[str]") -> str | None:
    if food.name not in photographs:
        return None
    shuffled = random.Random(f"{seed}/{food.name}").sample(photographs[food.name], len(photographs[food.name]))
    picture = shuffled[num_shown[food.name] % len(shuffled)]
    num_shown[food.name] += 1
    return picture


def _plan_step(
    food: Food, number: int, picture: str | None, gap_kind: str, rd: random.Random, is_over_noise: bool
) -> Step:
    """What is done with the food, then a fact about it, then more of both."""
    action = rd.choice(sorted(ACTIONS))
    first, *more = rd.sample(ACTIONS[action], len(ACTIONS[action]))
    fact, *facts = rd.sample(food.facts, len(food.facts))
    remarks = rd.sample([*more, *facts], len(more) + len(facts))
    opener = OPENERS[0] if number == 0 else rd.choice(OPENERS[1:])
    sentences = tuple(text.format(food.word) for text in (opener + first, fact, *remarks))
    return Step(
        food=food.name,
        action=action,
        sentences=sentences,
        picture=picture,
        picture_seed=rd.randrange(2**31),
        gap_kind=gap_kind,
        gap_ms=rd.randrange(900, 1100, 20) if gap_kind == "silence" else rd.randrange(1800, 2600, 20),
        is_over_noise=is_over_noise,
    )
