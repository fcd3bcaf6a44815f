"""Search text: names without case and accents, so that people find "Çalhanoğlu" by typing "calhanoglu".

The rule: pure and idempotent; what is stored and what is asked for go through the same `fold`.
"""

import unicodedata
from typing import Final

_LETTERS: Final = str.maketrans(
    {
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "ŧ": "t",
        "ŋ": "n",
        "ĸ": "k",
        "ƒ": "f",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ə": "e",
        "ß": "ss",
        "'": "",
        "\N{MODIFIER LETTER APOSTROPHE}": "",
        "\N{RIGHT SINGLE QUOTATION MARK}": "",
        "\N{LEFT SINGLE QUOTATION MARK}": "",
    }
)
"""Letters that have no decomposition, and apostrophes, which people leave out."""

_DROPPED: Final = frozenset({"Mn", "Me", "Cf", "Cs"})
"""Marks, joiners and lone surrogates."""


def fold(text: str) -> str:
    """Return text for searching: no case, no accents, single spaces. Lone surrogates, which no store takes, are dropped."""
    if text.isascii():
        return " ".join(text.lower().translate(_LETTERS).split())
    # Case first, since it makes letters that decompose; and once more, since compatibility forms decompose to capitals.
    spread = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text.casefold()).casefold())
    kept = "".join(c for c in spread if unicodedata.category(c) not in _DROPPED)
    return " ".join(kept.translate(_LETTERS).split())
