"""The singular of English nouns, as far as tags of pictures need it."""

from __future__ import annotations

import re

_IRREGULAR = {
    **{"people": "person", "children": "child", "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth"},
    **{"oxen": "ox", "dice": "die", "cacti": "cactus", "fungi": "fungus", "leaves": "leaf", "loaves": "loaf"},
    **{"thieves": "thief", "knives": "knife", "wives": "wife", "lives": "life", "axes": "axe", "headaches": "headache"},
    **{"caches": "cache", "avalanches": "avalanche", "mustaches": "mustache", "moustaches": "moustache"},
    **{"lenses": "lens", "gases": "gas", "canvases": "canvas", "fuses": "fuse"},
    **{"ties": "tie", "pies": "pie", "movies": "movie", "cookies": "cookie", "hoodies": "hoodie", "zombies": "zombie"},
    **{"selfies": "selfie", "brownies": "brownie", "smoothies": "smoothie", "collies": "collie", "boogies": "boogie"},
    **{"birdies": "birdie", "bougies": "bougie", "walkie-talkies": "walkie-talkie"},
}

_ALIKE = """
    abdomen asparagus atlas bellows bias binoculars canvas christmas clothes corps dungarees gas glasses goggles
    headphones jeans lens mathematics news omen overalls pajamas pants pliers pyjamas scissors series shorts species
    specimen sunglasses tights tongs trousers tweezers
"""

_UNCHANGED = frozenset(_ALIKE.split())
"""Words that end like plurals and are none, or have no singular."""

_ENDINGS = (
    (r"men", "man"),
    (r"(dwar|hal|cal|el|shel|wol|scar|hoo)ves", r"\1f"),
    (r"([^aeiou]|qu)ies", r"\1y"),
    (r"(shoe|canoe|^toe)s", r"\1"),
    # Words whose singular ends in a hiss or in a long o.
    (r"(ss|sh|ch|x|zz|[^o]us|[^aeiou]o)es", r"\1"),
    (r"(ss|us|is)", r"\1"),
    (r"(.)s", r"\1"),
)
"""What a plural ends in and what stands in its place; the first that fits counts."""


def singular(phrase: str) -> str:
    """The singular of a lower-cased noun, or of the last word of a phrase ("police officers": "police officer").

    Regular plurals and the irregular ones that tags have; what it does not know it treats as regular, so that a word
    and its plural always agree or nearly so, and the same word always gives the same answer.
    """
    before, space, word = phrase.rpartition(" ")
    return before + space + _singular(word)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _UNCHANGED or len(word) < 3:
        return word
    for ending, instead in _ENDINGS:
        changed, times = re.subn(f"{ending}$", instead, word)
        if times:
            return changed
    return word
