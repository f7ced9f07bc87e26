"""The language that a title and description are written in, where the script alone does not tell.

py3langid (BSD-3, its model in the package) tells the languages of one script apart; it knows no Hindi in Latin letters,
in which many Hindi cooking titles are written. Those are told by their function words.
"""

import re
import unicodedata
from functools import lru_cache

# Spellings in real use. A text needs several of them, since some also are words of other languages.
_HINDI_WORDS = """
aap aapke aasan asan asaan aur banaen banaye banayen banayein banane banega banti bante bahut bina chahiye dosto
doston ghar hai hain hoga hoti hota iska isko jaisa jaise jaisi kaise kare karen karke karne karte kariye ke ka ki
ko kya liye mein nahi nahin namaskar namaste sirf tarah tarika tarike tareeka vidhi wala wale wali yeh
"""
_MIN_WORDS = 2
_MIN_SHARE = 0.15


def identify_text(text: str) -> str | None:
    """ISO 639-1 code of the language that `text` is written in; None for a text without words.

    Hindi in Latin letters is "hi": at least two different function words of it, and 15 % of all words.
    """
    from py3langid import classify

    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", text).lower())
    if not words:
        return None
    hindi_words = frozenset(_HINDI_WORDS.split())
    known = [word for word in words if word in hindi_words]
    if len(set(known)) >= _MIN_WORDS and len(known) >= _MIN_SHARE * len(words):
        return "hi"
    return str(classify(text)[0])


@lru_cache(maxsize=1)
def known_languages() -> frozenset[str]:
    """ISO 639 codes of the languages that `identify_text` tells; loads the model, a second."""
    from py3langid import rank

    return frozenset(str(language) for language, _ in rank("")) - {"zxx"}
