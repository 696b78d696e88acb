"""What a question asks for: its kind, the thing it is about, and the span of time it means.

What matches no pattern is taken as a description to search for.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from streammem.answerers.patterns import BARE, SEEN, TABLE, TIME, UNIT, Kind
from streammem.errors import UsageError
from streammem.names import parse_time

Limits: TypeAlias = tuple[float, float]
"""Start and end in seconds; what is negative counts back from the newest that was seen."""

Which: TypeAlias = Literal["all", "first", "second", "third", "fourth", "fifth", "last"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question taken apart.

    `subject` and `other` are noun phrases without articles. `time_s` is the moment of an *at*
    question, None for now. `start_s..end_s` limits what may be used; what is negative counts back
    from the newest that was seen. `which` picks among several moments.
    """

    kind: Kind
    subject: str = ""
    other: str = ""
    time_s: float | None = None
    start_s: float = 0.0
    end_s: float = math.inf
    which: Which = "all"
    earlier: bool = True


WHOLE = frozenset(("video", "stream", "clip", "footage", "film", "recording"))
"""Subjects that mean all that was seen."""

_CONTRACTIONS = (
    (re.compile(r"[\u2018\u2019]"), "'"),
    (re.compile(r"\b(?:(what|when|where|who|how)'?|(which|there|that|it)')s\b"), r"\1\2 is"),
    (re.compile(r"\b(is|was|are|were|do|does|did|has|have)n'?t\b"), r"\1"),
    (re.compile(r"\bhalf (?:a )?minute\b"), "30 seconds"),
    (re.compile(r"\bhalf (?:an )?hour\b"), "30 minutes"),
    (re.compile(r"\ban? (second|minute|hour) ago\b"), r"1 \1 ago"),
)
_POLITE = re.compile(
    r"^(?:(?:hey|hi|hello|ok|okay|so|and|then|please|well)[, ]+|"
    r"(?:can|could|would|will) you (?:please )?"
    r"(?=tell|show|find|describe|summari|count|list|give|say)|"
    r"(?:please )?(?:tell|say)(?: me)?(?: if| whether)? |do you know(?: if| whether)? |"
    r"i (?:want|would like) to know |"
    r"(?:find|show|list|look up|see)(?: me)?(?: out)? (?=(?:when|where) ))+"
)
_SMALL = "one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {word: str(value) for value, word in enumerate(_SMALL.split(), start=1)}
_NUMBERS |= {"fifteen": "15", "twenty": "20", "thirty": "30", "sixty": "60"}
_NUMBER = re.compile(rf"\b({'|'.join(_NUMBERS)})(?= (?:more )?{UNIT}\b)")
_ALWAYS: Limits = (0.0, math.inf)
_NEAR_S = 1.0
_NOW = re.compile(
    r"(?: right)? (?:now|currently|at (?:the|this) moment|at present|still(?= there| in view|$))\b"
)
_NOW_S = 2.0
_EDGE_S = 5.0
_ARTICLES = re.compile(
    r"^(?:(?:a|an|the|any|all|every|no|some|this|that|these|those|my|your|our|his|her)\s+)+"
)
_WHICH: dict[str, Which] = {
    "first": "first",
    "second": "second",
    "third": "third",
    "fourth": "fourth",
    "fifth": "fifth",
    "last": "last",
    "1st": "first",
    "2nd": "second",
    "3rd": "third",
    "4th": "fourth",
    "5th": "fifth",
}
_NTH = re.compile(rf"({'|'.join(_WHICH)}) (?!(?:aid|hand|lady|class|floor|rail|supper)\b)")
_TAIL = re.compile(
    rf"(?:\s+(?:ever|again|anywhere|or not|at all|at any (?:time|point)|please|{SEEN}|"
    r"(?:in|on|during) (?:the|this) (?:video|stream|clip|footage|film|recording|screen)))+$"
)


def parse_question(text: str) -> Question:
    """Return what `text` asks for."""
    words = _normalise(text)
    if not noun_phrase(words):
        raise UsageError('the question is empty; ask something like "when does the cat appear?"')
    words, limits = _take_span(words)
    words, time_s = _take_moment(words)
    if (rest := _NOW.sub("", words).strip()) != words and rest:
        question = _match(rest)
        return Question("at") if question.kind == "describe" else replace(question, start_s=-_NOW_S)
    question = _match(words)
    if time_s is not None:
        if question.kind == "describe" or not question.subject:
            return Question("at", time_s=time_s)
        return replace(question, start_s=max(0.0, time_s - _NEAR_S), end_s=time_s + _NEAR_S)
    if limits == _ALWAYS:
        return question
    start_s, end_s = limits
    return replace(question, start_s=start_s, end_s=end_s)


def noun_phrase(text: str) -> str:
    """Return a phrase without articles and without where it is meant to be seen."""
    return _ARTICLES.sub("", _TAIL.sub("", text.strip(" ,.?!\"'"))).strip()


def _normalise(text: str) -> str:
    words = re.sub(r"\s+", " ", text.strip().lower()).rstrip("?!. ")
    for pattern, form in _CONTRACTIONS:
        words = pattern.sub(form, words)
    words = _NUMBER.sub(lambda found: _NUMBERS[found[1]], words)
    return _POLITE.sub("", words).strip()


def _take_span(words: str) -> tuple[str, Limits]:
    """Return the question without the span of time that it names, and the span's ends."""
    for pattern, ends in _SPANS:
        if found := pattern.search(words):
            rest = f"{words[: found.start()]} {words[found.end() :]}"
            return re.sub(r"\s+", " ", rest).strip(" ,"), ends(found)
    return words, _ALWAYS


def _between(found: re.Match[str]) -> Limits:
    end = found["end"]
    start = found["start"]
    unit = re.search(r"[a-z]+$", end)
    if unit and start.replace(".", "").isdigit():
        start = f"{start} {unit[0]}"
    elif found["unit"]:
        start, end = (f"{part} {found['unit']}" for part in (start, end))
    first_s, last_s = sorted((_seconds(start), _seconds(end)))
    return first_s, last_s


_OF_IT = r"(?: of (?:the|this|that) (?:video|stream|clip|footage|film|recording)|(?! of))"
_SPANS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Limits]], ...] = (
    (
        re.compile(
            rf"\b(?:between|from|at|of) (?P<unit>minutes|seconds|hours)? ?"
            rf"(?P<start>{BARE}) and (?P<end>{BARE})"
        ),
        _between,
    ),
    (
        re.compile(
            rf"\b(?:between|from|in|during|of|for)? ?(?P<unit>minutes|seconds|hours)? ?"
            rf"(?P<start>{BARE})(?: (?:to|until|till|through) |\s*[-\u2013]\s*)(?P<end>{BARE})"
        ),
        _between,
    ),
    (
        re.compile(rf"\b(?:in|during|within|of)? ?the first (?P<t>{TIME}|{UNIT})"),
        lambda found: (0.0, _length(found["t"])),
    ),
    (
        re.compile(rf"\b(?:in|during|within|of)? ?the (?:last|past|final) (?P<t>{TIME}|{UNIT})"),
        lambda found: (-_length(found["t"]), math.inf),
    ),
    (
        re.compile(
            rf"\b(?:at|in|near) the (?:very )?(?:start|beginning)\b{_OF_IT}|the first thing\b"
        ),
        lambda found: (0.0, _EDGE_S),
    ),
    (
        re.compile(rf"\b(?:at|in|near) the (?:very )?end\b{_OF_IT}|the last thing\b"),
        lambda found: (-_EDGE_S, math.inf),
    ),
    (
        re.compile(rf"\b(?P<t>{TIME}) ago\b"),
        lambda found: (-_length(found["t"]) - _NEAR_S, -_length(found["t"]) + _NEAR_S),
    ),
    (
        re.compile(rf"\b(?:before|until|up to|by) (?P<t>{TIME})"),
        lambda found: (0.0, _seconds(found["t"])),
    ),
    (
        re.compile(rf"\b(?:after|since) (?P<t>{TIME})"),
        lambda found: (_seconds(found["t"]), math.inf),
    ),
)
_MOMENTS = (
    re.compile(
        r"\s*\b(?:at|around|about|near|@)"
        r"(?: (?:the|around|about|exactly|time|second|minute|t ?=))* ?"
        rf"(?P<t>{TIME}|\d+(?:\.\d+)?(?=$|,| mark| into| (?:is|was|are|did|do|what|who)\b))"
        rf"(?: mark)?(?: in(?:to the (?:video|stream|clip)|$))?"
    ),
    re.compile(rf"\s*\b(?P<t>{TIME}) in(?:to the (?:video|stream|clip)|$)"),
)


def _take_moment(words: str) -> tuple[str, float | None]:
    """Return the question without the moment that it names, and the moment."""
    found = next(filter(None, (pattern.search(words) for pattern in _MOMENTS)), None)
    if found is None:
        return words, None
    unit = " min" if "minute" in found[0].split() and found["t"].isdigit() else ""
    return (words[: found.start()] + words[found.end() :]).strip(" ,"), _seconds(found["t"] + unit)


def _seconds(text: str) -> float:
    """Return the seconds of a time, "2 minutes 30 seconds" included."""
    parts = re.findall(rf"\d+(?:\.\d+)?\s*{UNIT}", text)
    if len(parts) > 1:
        return sum(parse_time(part) for part in parts)
    return parse_time(text)


def _length(text: str) -> float:
    """Return the seconds of a length such as "30 seconds" or "minute"."""
    return _seconds(text if text[0].isdigit() else f"1 {text}")


def _match(words: str) -> Question:
    """Return the question of the first pattern that takes all of `words`."""
    for kind, pattern in TABLE:
        found = pattern.fullmatch(words)
        if found is None:
            continue
        groups = found.groupdict()
        subject = noun_phrase(groups.get("a") or "")
        if not subject and kind != "describe":
            continue
        place = next((groups[name].strip() for name in "wvx" if groups.get(name)), "")
        latest = place in ("last", "later") or groups.get("o") == "after"
        if kind == "describe" and place:
            start_s, end_s = (-_EDGE_S, math.inf) if place == "last" else (0.0, _EDGE_S)
            return Question(kind, start_s=start_s, end_s=end_s)
        question = Question(kind, subject, noun_phrase(groups.get("b") or ""), earlier=not latest)
        if kind in ("when", "after", "before") and (nth := _NTH.match(subject)):
            return replace(question, subject=subject[nth.end() :], which=_WHICH[nth[1]])
        if kind != "when" or not place:
            return question
        return replace(question, which="last" if latest else "first")
    return Question("search", subject=noun_phrase(words))
