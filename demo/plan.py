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

PLAN_VERSION = 3  # part of every plan's digest: raise it when the renderer changes what a plan looks or sounds like

ACTIONS: dict[str, tuple[str, ...]] = {
    "peel": (
        "{}の皮をむいていきます。",
        "{}の皮は薄くむいてください。",
        "皮をむいた{}は水にさらしておきます。",
        "{}の皮は捨てずに取っておきましょう。",
    ),
    "cut": (
        "{}を包丁で薄く切っていきます。",
        "{}は大きさをそろえて切ると、きれいに仕上がります。",
        "指を丸めて、{}をしっかり押さえます。",
        "切った{}はお皿に移しておきます。",
    ),
    "fry": (
        "フライパンに油をひいて、{}を炒めます。",
        "強火で{}をさっと炒めてください。",
        "{}に油がまわったら、塩とこしょうを振ります。",
        "{}に焼き色がついたら、火を止めます。",
    ),
    "boil": (
        "鍋にお湯を沸かして、{}を茹でます。",
        "{}がやわらかくなるまで待ちましょう。",
        "茹でた{}はざるに上げて、水気を切ります。",
        "{}の茹で時間は三分くらいです。",
    ),
    "mix": (
        "ボウルに{}を入れて、よく混ぜます。",
        "{}がつぶれないように、やさしく混ぜてください。",
        "{}に調味料を加えて、全体をなじませます。",
        "混ぜた{}は冷蔵庫で休ませます。",
    ),
    "serve": (
        "{}をお皿に盛り付けて、完成です。",
        "{}の彩りがとてもきれいですね。",
        "温かいうちに{}を召し上がってください。",
        "{}の料理を、ぜひ作ってみてくださいね。",
    ),
}
OPENERS = ("まず、", "次に、", "それでは、", "続いて、", "今度は、")
DISHES = ("炒め物", "サラダ", "スープ", "煮物", "和え物", "グラタン", "味噌汁", "マリネ")
TITLES = (
    "【簡単レシピ】{a}と{b}の{dish}の作り方",
    "{a}の{dish}の作り方｜基本の料理",
    "プロが教える{a}と{b}の{dish} レシピ",
    "{a}たっぷり！{dish}の簡単な作り方",
)
VOICES = (
    "mei:-4:1.0",
    "mei:0:1.05",
    "mei:2:0.95",
    "mei:-2:1.1",
)  # mei:<half tones>:<speed>; higher voices are called music


@dataclass(frozen=True)
class Step:
    """One narrated step: a food, an action, the sentences, what is heard behind and after them."""

    food: str
    action: str
    sentences: tuple[str, ...]
    """Enough of them for 11 s; the renderer speaks only as many as the step needs."""
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
    foods = _choose_foods(rd, index)
    actions = [*rd.sample(sorted(set(ACTIONS) - {"serve"}), len(foods)), "serve"]
    noisy_step = rd.randrange(len(actions)) if index % 4 == 3 else None
    steps = []
    for number, (food, action) in enumerate(zip([*foods, foods[0]], actions, strict=True)):
        picture = _next_photograph(food, seed, photographs, num_shown)
        steps.append(_plan_step(food, action, number, picture, rd, is_over_noise=number == noisy_step))
    dish = rd.choice(DISHES)
    title = rd.choice(TITLES).format(a=foods[0].word, b=foods[1].word, dish=dish)
    names = tuple(food.name for food in foods)
    return VideoPlan(video_id, seed, title, dish, names, VOICES[index % len(VOICES)], tuple(steps))


def _choose_foods(rd: random.Random, index: int) -> list[Food]:
    """Four or five foods; the first goes round the list, so that a few videos already show every food."""
    first = FOODS[(index * 5) % len(FOODS)]
    others = [food for food in FOODS if food is not first]
    return [first, *rd.sample(others, 3 + index % 2)]


def _next_photograph(food: Food, seed: int, photographs: dict[str, list[str]], num_shown: "Counter[str]") -> str | None:
    if food.name not in photographs:
        return None
    shuffled = random.Random(f"{seed}/{food.name}").sample(photographs[food.name], len(photographs[food.name]))
    picture = shuffled[num_shown[food.name] % len(shuffled)]
    num_shown[food.name] += 1
    return picture


def _plan_step(
    food: Food, action: str, number: int, picture: str | None, rd: random.Random, is_over_noise: bool
) -> Step:
    first, *more = ACTIONS[action]
    remarks = [*more, *food.facts]
    rd.shuffle(remarks)
    opener = OPENERS[0] if number == 0 else rd.choice(OPENERS[1:])
    sentences = (opener + first.format(food.word), *(remark.format(food.word) for remark in remarks))
    gap_kind = "noise" if action in ("fry", "boil") else rd.choice(["silence", "music", "music", "noise"])
    return Step(
        food=food.name,
        action=action,
        sentences=sentences,
        picture=picture,
        picture_seed=rd.randrange(2**31),
        gap_kind=gap_kind,
        gap_ms=rd.randrange(1800, 2600, 20),
        is_over_noise=is_over_noise,
    )
