"""What metadata say about the spoken language, and how often they are right."""

from pathlib import Path
from typing import Any

import pytest

from extract.language import (
    LanguageEvidence,
    base_language,
    check_language,
    describe_language,
    gather_evidence,
    is_language,
    script_share,
    text_share,
)

SAMPLE = Path(__file__).with_name("data_language.tsv")


def read_sample() -> list[tuple[str, str, str]]:
    """(language, title, description) of every row, in the file's order."""
    lines = [line for line in SAMPLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [line.split("\t") for line in lines[1:]]
    return [(language, title, description.replace("\\n", "\n")) for language, title, description in rows]


def count_answers(rows: list[tuple[str, str, str]], asked: str) -> dict[tuple[bool, bool], int]:
    """The confusion table (spoken in the language, taken for it) of title and description alone."""
    table = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0)
    for spoken, title, description in rows:
        evidence = gather_evidence({"title": title, "description": description}, asked)
        table[spoken == asked, is_language(evidence, asked)] += 1
    return table


@pytest.mark.parametrize(
    ("language", "min_precision", "min_recall"), [("ja", 0.9, 0.9), ("hi", 0.9, 0.9), ("en", 0.8, 0.9)]
)
def test_text_alone_on_the_half_never_used_for_tuning(
    language: str, min_precision: float, min_recall: float, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_sample()
    assert len(rows) >= 200
    table = count_answers(rows[1::2], language)
    precision = table[True, True] / (table[True, True] + table[False, True])
    recall = table[True, True] / (table[True, True] + table[True, False])
    with capsys.disabled():
        print(
            f"\n{language}: taken {table[True, True]} of {table[True, True] + table[True, False]} spoken in it, "
            f"and {table[False, True]} of {table[False, True] + table[False, False]} others; "
            f"precision {precision:.3f}, recall {recall:.3f}"
        )
    assert precision >= min_precision
    assert recall >= min_recall


def test_kana_are_counted_and_kanji_are_not() -> None:
    assert script_share("肉じゃがの作り方", "ja") == 5 / 8


def test_halfwidth_katakana_count_like_wide_ones() -> None:
    assert script_share("ｶﾚｰ", "ja") == 1.0


def test_addresses_hashtags_and_units_do_not_count() -> None:
    assert script_share("カレー https://example.com/curry #cooking 200g foo@example.com", "ja") == 1.0


def test_text_without_letters_has_no_share() -> None:
    assert script_share("🍛 100% !!!", "ja") is None
    assert text_share("123", "", "ja") is None


def test_title_counts_as_much_as_a_long_description() -> None:
    assert text_share("カレー", "word " * 500, "ja") == 0.5


def test_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="language must be an ISO 639 code"):
        script_share("x", "xx")


def metadata(**fields: Any) -> dict[str, Any]:
    return {"title": "カレーの作り方", "description": "おいしいカレーです", **fields}


def test_dubbed_japanese_track_does_not_make_a_video_japanese() -> None:
    formats = [
        {"acodec": "opus", "language": "en", "language_preference": 10},
        {"acodec": "opus", "language": "ja", "language_preference": -1},
    ]
    evidence = gather_evidence(metadata(formats=formats, automatic_captions={"ja-orig": []}), "ja")
    assert evidence.audio_language == "en"
    assert not is_language(evidence, "ja")


def test_recognised_speech_outweighs_declared_language_and_script() -> None:
    evidence = gather_evidence(metadata(language="ja", automatic_captions={"en-orig": [], "ja": []}), "ja")
    assert evidence.has_original_caption is False
    assert not is_language(evidence, "ja")


def test_original_caption_of_a_regional_code_counts() -> None:
    assert gather_evidence(metadata(automatic_captions={"ja-JP-orig": []}), "ja").has_original_caption is True


@pytest.mark.parametrize(
    ("code", "language"),
    [
        *(("jpn", "ja"), ("JPN", "ja"), ("ja-JP", "ja"), ("ja_JP", "ja"), ("ja-Jpan-JP", "ja"), ("jp", "ja")),
        *(("chi", "zh"), ("zho", "zh"), ("zh-Hant-TW", "zh"), ("yue", "yue"), ("hin", "hi"), ("ger", "de")),
        *(("cmn-Hans-CN", "zh"), ("arb", "ar"), ("pes", "fa"), ("may", "ms"), ("zsm", "ms"), ("qaa", None)),
        *(("fil", "tl"), ("nob", "no"), ("nb-NO", "no"), ("nn", "nn")),
        *(("eng", "en"), ("en-US", "en"), ("en-US-desc", "en"), ("iw", "he"), ("sr-Latn", "sr")),
        *(("Klingonese", "klingonese"), ("und", None), ("", None), (None, None)),
    ],
)
def test_codes_of_two_and_three_letters_are_one_language(code: str | None, language: str | None) -> None:
    assert base_language(code) == language


@pytest.mark.parametrize("code", ["ja", "jpn", "ja-JP", "jpn-Jpan"])
def test_a_track_is_japanese_under_any_of_its_codes(code: str) -> None:
    formats = [{"acodec": "mp4a.40.2", "vcodec": "none", "language": code}]
    assert is_language(gather_evidence({"title": "x", "formats": formats}, "ja"), "ja")
    assert is_language(gather_evidence({"title": "x", "language": code}, "ja"), "ja")
    assert is_language(gather_evidence({"title": "x", "automatic_captions": {f"{code}-orig": []}}, "ja"), "ja")
    assert check_language(code) == "ja"


def test_declared_language_outweighs_script() -> None:
    evidence = gather_evidence(metadata(title="Curry", description="", language="ja-JP"), "ja")
    assert evidence == LanguageEvidence(None, "ja", None, 0.0)
    assert is_language(evidence, "ja")


def test_hindi_in_latin_letters_is_hindi_and_not_english() -> None:
    known = {"title": "Paneer ki sabzi kaise banate hain", "description": "Ghar par aasan tarika"}
    assert is_language(gather_evidence(known, "hi"), "hi")
    assert not is_language(gather_evidence(known, "en"), "en")


@pytest.mark.parametrize(
    ("title", "description"),
    [
        ("मराठी पद्धतीची मिसळ पाव कशी करायची", "आज आपण झणझणीत मिसळ पाव कशी बनवायची ते पाहणार आहोत"),
        ("Receta de tacos al pastor", "Hoy vamos a preparar unos tacos muy ricos en casa"),
        ("Cara membuat rendang padang", "Resep rendang asli dari Padang, bumbu lengkap dan mudah"),
    ],
)
def test_another_language_of_the_same_script_is_neither_hindi_nor_english(title: str, description: str) -> None:
    for asked in ("hi", "en"):
        assert not is_language(gather_evidence({"title": title, "description": description}, asked), asked)


def test_an_english_text_that_names_a_hindi_dish_is_english() -> None:
    known = {"title": "Easy Aloo Gobi | Gobi ki sabzi", "description": "A simple recipe for busy weeknights at home."}
    assert is_language(gather_evidence(known, "en"), "en")


def test_several_tracks_without_a_mark_say_nothing() -> None:
    formats = [{"acodec": "opus", "language": "en"}, {"acodec": "opus", "language": "ja"}]
    assert gather_evidence(metadata(formats=formats), "ja").audio_language is None


def test_a_track_of_no_named_language_says_nothing_against_another() -> None:
    formats = [{"acodec": "opus", "language": "und"}, {"acodec": "opus", "language": "jpn"}]
    assert gather_evidence(metadata(formats=formats), "ja").audio_language == "ja"


def test_no_evidence_at_all_is_a_no() -> None:
    assert not is_language(gather_evidence({}, "ja"), "ja")


@pytest.mark.parametrize(
    ("language", "title", "other"),
    [
        ("ko", "김치찌개 맛있게 끓이는 법", "カレーの作り方"),
        ("hi", "आलू गोभी की सब्जी कैसे बनाएं", "Easy carrot soup recipe"),
        (
            "de",
            "Kartoffelsuppe ganz einfach selbst gemacht wie bei der Oma",
            "Easy carrot soup recipe",
        ),
        ("ru", "Как приготовить борщ, простой рецепт на каждый день", "Easy carrot soup recipe"),
    ],
)
def test_a_language_with_or_without_a_row_is_told_by_its_text(language: str, title: str, other: str) -> None:
    answers = [is_language(gather_evidence({"title": text}, language), language) for text in (title, other)]
    assert answers == [True, False]


def test_what_was_not_measured_is_said_to_be_so() -> None:
    assert describe_language("ko").endswith("not measured") and describe_language("de").endswith("not measured")
    assert "precision 1.00, recall 0.98" in describe_language("ja")
