"""The catalog: what the site says of each video. The narrated ones, and seven that the pipeline must turn away."""

import random
from dataclasses import dataclass
from typing import Any

from demo.foods import FOOD_BY_NAME, FOODS
from demo.plan import VIDEO_MS, VideoPlan

CHANNEL, CHANNEL_ID = "小さな台所", "UCsmall-kitchen-demo-001"
CREATIVE_COMMONS = "Creative Commons Attribution license (reuse allowed)"
READINGS = {food.word: food.reading for food in FOODS}


@dataclass(frozen=True)
class Extra:
    """One item that some stage of the pipeline refuses, and why it is there."""

    name: str
    title: str
    description: str
    food: str
    sound: str
    """silence, music, or none (no audio stream)."""
    duration_ms: int
    """0: only a page, no file."""
    view_count: int = 2400
    language: str | None = "ja"
    availability: str = "public"
    """public, private or removed."""


EXTRAS: tuple[Extra, ...] = (
    Extra("silent", "トマトの飾り切り 音なし レシピ", "音声のない料理動画です。", "Tomato", "silence", 20_000),
    Extra(
        "no audio",
        "キャベツの千切り 料理の基本",
        "マイクが壊れていました。作り方だけどうぞ。",
        "Cabbage",
        "none",
        20_000,
    ),
    Extra("too short", "玉ねぎの切り方 5秒 レシピ", "短い料理動画です。", "Onion", "music", 5_000),
    Extra(
        "english",
        "Easy carrot soup recipe (人参スープ レシピ)",
        "In this video I show you how to make an easy carrot soup at home. Subscribe for a new recipe every week!",
        "Carrots",
        "music",
        20_000,
        language="en",
    ),
    Extra("few views", "レモンの蜂蜜漬け 簡単レシピ", "はじめての投稿です。", "Lemon", "music", 20_000, view_count=7),
    Extra("private", "生姜のスープ レシピ", "", "Ginger", "none", 0, availability="private"),
    Extra("removed", "長ねぎの焼き方 レシピ", "", "Leek", "none", 0, availability="removed"),
)


def describe_video(plan: VideoPlan, index: int) -> dict[str, Any]:
    """Catalog item of a narrated video, from its plan alone: the site knows it before it is rendered."""
    rd = random.Random(plan.video_id)
    foods = [FOOD_BY_NAME[name].word for name in plan.foods]
    readings = "、".join(READINGS[word] for word in foods)
    description = (
        f"今日は{'、'.join(foods)}を使った{plan.dish}の作り方を紹介します。\n"
        f"材料：{readings}\n料理の基本から簡単なレシピまで、毎週配信しています。"
    )
    return {
        "id": plan.video_id,
        "kind": "narrated",
        "title": plan.title,
        "description": description,
        "duration_ms": VIDEO_MS,
        "view_count": rd.randrange(900, 250_000),
        "channel": CHANNEL,
        "channel_id": CHANNEL_ID,
        "upload_date": f"2025{1 + index % 12:02d}{1 + rd.randrange(28):02d}",
        "license": CREATIVE_COMMONS if index % 2 == 0 else None,
        "language": "ja",
        "availability": "public",
        "file": f"videos/{plan.video_id}.mp4",
    }


def describe_extra(extra: Extra, video_id: str, index: int) -> dict[str, Any]:
    """Catalog item of an extra."""
    return {
        "id": video_id,
        "kind": extra.name,
        "title": extra.title,
        "description": extra.description,
        "duration_ms": extra.duration_ms or 65_000,
        "view_count": extra.view_count,
        "channel": CHANNEL,
        "channel_id": CHANNEL_ID,
        "upload_date": f"2024{1 + index:02d}15",
        "license": None,
        "language": extra.language,
        "availability": extra.availability,
        "file": f"videos/{video_id}.mp4" if extra.duration_ms else None,
    }
