"""What the channel cooks: sixteen foods with the words that name them, what is said of them, and how they look."""

from dataclasses import dataclass
from typing import Literal

Shape = Literal["round", "oval", "long", "taper", "curved", "mushroom", "bulb", "lobed", "knobby", "lemon"]
Texture = Literal["plain", "rings", "stripes", "spots", "leafy"]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Food:
    """One food: its words, what is said of it, and how it is drawn when there is no photograph."""

    name: str
    """Folder name of its photographs; the `food` of the truth."""
    word: str
    """What the voice says and the title shows."""
    reading: str
    """The same in kana, for descriptions: people search for both."""
    facts: tuple[str, ...]
    """Sentences that only fit this food; every one names it."""
    shape: Shape
    colour: Colour
    accent: Colour
    """Colour of its leaves, stalk or texture."""
    texture: Texture
    aspect: float
    """Height over width of one piece."""


FOODS: tuple[Food, ...] = (
    Food(
        "Asparagus", "アスパラガス", "あすぱらがす",
        (
            "アスパラガスは穂先がしまったものを選びます。",
            "アスパラガスの根元は少し固いので落とします。",
            "緑色が鮮やかなアスパラガスは春が旬です。",
        ),
        "long", (96, 142, 62), (60, 92, 62), "rings", 0.10,
    ),
    Food(
        "Aubergine", "茄子", "なす",
        (
            "茄子は油をよく吸う野菜です。",
            "茄子はへたのとげに気をつけてください。",
            "紫色の茄子は皮につやがあると新鮮です。",
        ),
        "taper", (58, 28, 74), (74, 104, 52), "plain", 0.42,
    ),
    Food(
        "Banana", "バナナ", "ばなな",
        (
            "バナナは黒い点が出てきたら甘くなっています。",
            "バナナは朝ごはんにもぴったりです。",
            "黄色いバナナは手で簡単にむけます。",
        ),
        "curved", (232, 200, 66), (110, 86, 38), "spots", 0.55,
    ),
    Food(
        "Cabbage", "キャベツ", "きゃべつ",
        (
            "キャベツは一枚ずつ葉をはがして洗います。",
            "春のキャベツはやわらかくて甘いです。",
            "キャベツの芯も薄く切れば食べられます。",
        ),
        "round", (150, 190, 104), (206, 224, 170), "leafy", 0.92,
    ),
    Food(
        "Carrots", "人参", "にんじん",
        (
            "人参はオレンジ色が濃いものを選びます。",
            "人参は油と一緒に食べると体に良いです。",
            "甘い人参は子供にも人気があります。",
        ),
        "taper", (226, 116, 34), (84, 132, 50), "plain", 0.24,
    ),
    Food(
        "Cucumber", "きゅうり", "きゅうり",
        (
            "きゅうりはとげが痛いくらいのものが新鮮です。",
            "きゅうりは塩でもんで水気を出します。",
            "夏のきゅうりは冷やすとおいしいです。",
        ),
        "long", (52, 98, 46), (120, 160, 88), "stripes", 0.20,
    ),
    Food(
        "Garlic", "にんにく", "にんにく",
        (
            "にんにくは香りが出るまで弱火で温めます。",
            "にんにくは一かけあれば十分です。",
            "にんにくは焦げやすいので目を離しません。",
        ),
        "bulb", (232, 224, 212), (196, 170, 176), "stripes", 0.95,
    ),
    Food(
        "Ginger", "生姜", "しょうが",
        (
            "生姜は体を温めてくれます。",
            "生姜は皮のすぐ下に香りがあります。",
            "生姜は魚や肉の臭みを取ります。",
        ),
        "knobby", (196, 160, 108), (150, 112, 70), "rings", 0.70,
    ),
    Food(
        "Leek", "長ねぎ", "ながねぎ",
        (
            "長ねぎは白いところが甘くておいしいです。",
            "長ねぎの青いところはスープに使います。",
            "冬の長ねぎは鍋に欠かせません。",
        ),
        "long", (228, 234, 208), (88, 138, 76), "stripes", 0.13,
    ),
    Food(
        "Lemon", "レモン", "れもん",
        (
            "レモンは転がしてから搾ると果汁がよく出ます。",
            "レモンの酸味で味がさっぱりします。",
            "レモンは皮も香りが良いです。",
        ),
        "lemon", (244, 214, 54), (210, 176, 40), "spots", 0.72,
    ),
    Food(
        "Mushroom", "マッシュルーム", "まっしゅるーむ",
        (
            "マッシュルームは水で洗わずに布で拭きます。",
            "マッシュルームからは良いだしが出ます。",
            "茶色いマッシュルームは香りが強いです。",
        ),
        "mushroom", (156, 112, 78), (228, 214, 196), "plain", 0.90,
    ),
    Food(
        "Onion", "玉ねぎ", "たまねぎ",
        (
            "玉ねぎは冷やしておくと涙が出にくいです。",
            "玉ねぎは透き通るまで火を通すと甘くなります。",
            "新しい玉ねぎは生でもおいしいです。",
        ),
        "bulb", (190, 124, 62), (132, 76, 36), "stripes", 0.90,
    ),
    Food(
        "Pepper", "ピーマン", "ぴーまん",
        (
            "ピーマンは種とわたを取り除きます。",
            "ピーマンは縦に切ると歯ごたえが残ります。",
            "赤いピーマンは苦みが少なくて甘いです。",
        ),
        "lobed", (74, 140, 56), (190, 206, 130), "plain", 1.05,
    ),
    Food(
        "Potato", "じゃがいも", "じゃがいも",
        (
            "じゃがいもは芽を必ず取り除きます。",
            "じゃがいもは水から火にかけます。",
            "ほくほくのじゃがいもにはバターが合います。",
        ),
        "oval", (204, 172, 112), (150, 118, 70), "spots", 0.72,
    ),
    Food(
        "Tomato", "トマト", "とまと",
        (
            "トマトは赤く熟したものを使います。",
            "トマトはへたの周りから洗います。",
            "トマトの酸味が料理の味を引き締めます。",
        ),
        "round", (214, 46, 34), (70, 126, 48), "plain", 0.92,
    ),
    Food(
        "Zucchini", "ズッキーニ", "ずっきーに",
        (
            "ズッキーニはかぼちゃの仲間です。",
            "ズッキーニは油で焼くと甘みが出ます。",
            "ズッキーニは皮ごと食べられます。",
        ),
        "long", (72, 124, 52), (188, 206, 122), "spots", 0.27,
    ),
)  # fmt: skip

FOOD_BY_NAME = {food.name: food for food in FOODS}
