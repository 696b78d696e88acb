"""The things that a phrase names, and the fewer words that still name them."""

import re

_CLAUSE = re.compile(
    r"\s+(?:with|without|in|on|at|by|near|under|over|behind|beside|inside|next|from|against|"
    r"wearing|holding|that|who|which)\b.*"
)
_ASKING = re.compile(
    r"(?:what|who|whose|why|how|which|when|where|is|are|was|were|do|does|did|can|has|have)\b"
)
_SIDE_BY_SIDE = re.compile(
    r",?\s+(?:and/)?or\s+(?:(?:an?|the|any|some|my)\s+)?|,?\s+and\s+(?:an?|the|any|some|my)\s+"
)
_COMMA = re.compile(r",\s+(?:(?:an?|the|any|some|my)\s+)?")
_TWO_WORDS = re.compile(r"(\w+) and (\w+)")


def narrower(phrase: str) -> list[str]:
    """Return `phrase`, the noun phrase in it without what follows, and the last word of that.

    Of a question that was not understood no word is taken by itself.
    """
    if _ASKING.match(phrase):
        return [phrase]
    noun = _CLAUSE.sub("", phrase)
    last = noun if " of " in noun else noun.split()[-1]
    return [*dict.fromkeys([phrase, noun, last])]


def separate(phrase: str) -> list[str]:
    """Return the things that `phrase` names side by side: a cat or a dog, cats and dogs.

    What follows a preposition belongs to one thing (man with a hat or a cap), and so do words that
    share a noun (black and white cat).
    """
    if _CLAUSE.search(phrase):
        return [phrase]
    if both := _TWO_WORDS.fullmatch(phrase):
        return list(both.groups())
    things = _SIDE_BY_SIDE.split(phrase)
    return things if len(things) == 1 else [one for some in things for one in _COMMA.split(some)]
