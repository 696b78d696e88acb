"""Questions about composed streams, each with a judge that knows the truth.

A judge looks at what an answer claims: its yes or no, its count, its names, and the moments it
cites, which must be just those that show the thing.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pipelines.compose import Composition, Shot
from pipelines.footage import PICTURES
from streammem.names import format_time
from streammem.records import Answer, Evidence

Verdict = Literal["right", "abstained", "wrong"]
Judge = Callable[[Answer], Verdict]
Thing = Literal["known", "unknown", "absent", "absent unknown", "clip", "span"]

TUNING_SEED = 0
SLACK_S = 1.0
SPREAD_S = 3.0
SPAN_S = 60.0
TUNING_NAMES = {"cat", "motorcycle", "officer", "page", "astronaut", "moon", "bricks", "gravel"}
ABSENT = {
    "known": ("dog", "elephant", "zebra", "acoustic guitar", "airliner", "pizza", "penguin",
              "violin", "snake", "grand piano", "lion", "umbrella", "banana", "tractor"),
    "unknown": ("giraffe", "snowman", "rainbow", "birthday party", "tulip", "ice skater"),
}  # fmt: skip
# Words that truly name what a picture or clip shows, in whatever form the classes have them.
TRUE_NAMES = {
    "cat": ("cat", "tabby", "kitten"),
    "coffee": ("coffee", "espresso", "cup", "coffee mug"),
    "motorcycle": ("motorcycle", "motorbike", "moped", "motor scooter"),
    "cameraman": ("tripod", "camera"),
    "temple": ("palace", "temple", "pagoda", "monastery"),
    "officer": ("uniform",),
    "rocket": ("rocket", "missile", "projectile"),
    "page": ("page", "text"),
    "flower": ("flower", "dahlia"),
    "astronaut": ("astronaut", "space suit", "space shuttle"),
    "coins": ("coin",),
    "moon": ("moon", "crater"),
    "galaxies": ("galaxy", "galaxies", "star"),
    "bricks": ("brick",),
    "retina": ("retina", "eye"),
    "gravel": ("gravel", "pebble"),
    "bunny": ("rabbit", "hare", "bunny", "cartoon"),
    "bikes": ("bicycle", "bike", "car", "cab", "minivan", "street", "wheel", "car mirror"),
    "carphone": ("car", "seat belt", "bow tie", "suit", "windsor tie"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A question about one stream with what decides over its answer."""

    question: str
    kind: str
    thing: Thing
    judge: Judge


def cases(composition: Composition) -> Iterator[Case]:
    """Yield every question about one stream, of the half that its seed belongs to."""
    tuning = composition.seed == TUNING_SEED
    for picture in PICTURES:
        shots = [shot for shot in composition.shots if shot.name == picture.name]
        if not shots or (picture.name in TUNING_NAMES) != tuning:
            continue
        thing: Thing = "known" if picture.known else "unknown"
        for question, kind, judge in about(picture.words, shots, composition):
            yield Case(question, kind, thing, judge)
    yield from pair_cases(composition, tuning=tuning)
    yield from absent_cases(tuning=tuning)
    yield from scene_cases(composition, tuning=tuning)


def about(
    words: Sequence[str], shots: Sequence[Shot], composition: Composition
) -> Iterator[tuple[str, str, Judge]]:
    """Yield the questions about one thing that is shown: question, kind, judge."""
    one, other = words[0], words[-1]
    is_, does, a = ("are", "do", "") if one.endswith("s") else ("is", "does", "a ")
    yield f"When {does} the {one} appear?", "when", just(shots)
    yield f"When {is_} the {other} first shown?", "when", just(shots[:1])
    yield f"How many times {is_} the {one} shown?", "count", both(just(shots), says(len(shots)))
    yield f"{is_.capitalize()} there {a}{other}?", "presence", both(just(shots), begins("Yes"))
    yield f"How long {is_} the {one} visible?", "duration", both(just(shots), lasts(shots))
    yield f"What comes right after the {one}?", "after", beside(shots, composition, step=1)
    yield f"What was shown just before the {one}?", "before", beside(shots, composition, step=-1)
    yield f"{other}", "search", just(shots)
    near, far = around(shots[0], composition), away_from(shots, composition)
    inside = [shot for shot in shots if overlaps(shot.start_s, shot.end_s, *near)]
    if whole(inside, near):
        yield f"Did you see {a}{one} {between(near)}?", "span", both(just(inside), begins("Yes"))
    if far is not None:
        yield f"{is_.capitalize()} there {a}{one} {between(far)}?", "span", denies


def pair_cases(composition: Composition, *, tuning: bool) -> Iterator[Case]:
    """Yield questions about the order of two known things."""
    known = {p.name for p in PICTURES if p.known and (p.name in TUNING_NAMES) == tuning}
    shown: dict[str, Shot] = {}
    for shot in composition.shots:
        if shot.name in known:
            shown.setdefault(shot.name, shot)
    for first, second in pairwise(shown.values()):
        a, b = first.words[0], second.words[0]
        cited = just([first, second])
        which = both(cited, begins(f"The {a}"))
        yield Case(f"Which comes first, the {b} or the {a}?", "first", "known", which)
        question = f"Does the {a} appear before the {b}?"
        yield Case(question, "order", "known", both(cited, begins("Yes")))
        question = f"Is the {a} shown after the {b}?"
        again = [
            s for s in composition.shots if s.name == first.name and s.start_s > second.start_s
        ]
        cited = just([first, second, *again[:1]])
        yield Case(question, "order", "known", both(cited, begins("Yes" if again else "No")))


def absent_cases(*, tuning: bool) -> Iterator[Case]:
    """Yield questions about things that no picture and no clip shows."""
    for group, things in ABSENT.items():
        kind: Thing = "absent" if group == "known" else "absent unknown"
        for thing in things[0 if tuning else 1 :: 2]:
            article = "an" if thing[0] in "aeiou" else "a"
            yield Case(f"Is there {article} {thing}?", "presence", kind, denies)
            yield Case(f"When does the {thing} appear?", "when", kind, denies)
            yield Case(f"How often is {article} {thing} shown?", "count", kind, denies)


def scene_cases(composition: Composition, *, tuning: bool) -> Iterator[Case]:
    """Yield questions about moments and spans, whatever is shown there."""
    known = {picture.name for picture in PICTURES if picture.known}
    for shot in composition.timeline:
        in_half = not shot.still or (shot.name in TUNING_NAMES) == tuning
        if in_half and shot.end_s - shot.start_s >= 2 * SLACK_S:
            middle = format_time((shot.start_s + shot.end_s) / 2)
            thing: Thing = "known" if shot.name in known else "unknown" if shot.still else "clip"
            yield Case(f"What is shown at {middle}?", "at", thing, named([shot]))
    for start in range(0, int(composition.duration_s) - int(SPAN_S) + 1, int(SPAN_S)):
        span = (float(start), start + SPAN_S)
        shots = [s for s in composition.timeline if overlaps(s.start_s, s.end_s, *span)]
        question = f"Describe what happens {between(span)}"
        yield Case(question, "describe", "span", all_true(shots))


def just(shots: Sequence[Shot]) -> Judge:
    """Right where the cited moments are these showings, each of them and nothing else."""

    def judge(answer: Answer) -> Verdict:
        if answer.abstained:
            return "abstained"
        cited_well = all(any(cites(e, shot) for shot in shots) for e in answer.evidence)
        complete = all(any(cites(e, shot) for e in answer.evidence) for shot in shots)
        return "right" if cited_well and complete else "wrong"

    return judge


def says(number: int) -> Judge:
    words = {1: "once", 2: "twice"}.get(number, f"{number} times")
    return lambda answer: "right" if re.search(rf"\b{words}\b", answer.text) else "wrong"


def begins(word: str) -> Judge:
    return lambda answer: "right" if re.match(rf"{word}\b", answer.text) else "wrong"


def denies(answer: Answer) -> Verdict:
    """Right where the answer says plainly that the thing was not seen."""
    if re.search(r"^no\b|\bnever\b|\bdid not see\b", answer.text, re.IGNORECASE):
        return "right"
    return "abstained" if answer.abstained else "wrong"


def lasts(shots: Sequence[Shot]) -> Judge:
    """Right within a quarter, or within 1.5 s for each showing at a frame a second."""
    true_s = sum(shot.end_s - shot.start_s for shot in shots)

    def judge(answer: Answer) -> Verdict:
        found = re.search(r"(\d+(?:\.\d+)?) s\b", answer.text)
        said_s = float(found[1]) if found else math.inf
        return "right" if abs(said_s - true_s) <= max(true_s / 4, 1.5 * len(shots)) else "wrong"

    return judge


def beside(shots: Sequence[Shot], composition: Composition, *, step: int) -> Judge:
    """Right where the answer names what is next to a showing, at its time."""
    timeline = composition.timeline
    places = [timeline.index(shot) + step for shot in shots]
    neighbours = [timeline[place] for place in places if 0 <= place < len(timeline)]

    def judge(answer: Answer) -> Verdict:
        if answer.abstained:
            return "abstained"
        if not answer.evidence:
            return "wrong"
        said = [shot for shot in neighbours if cites(answer.evidence[0], shot)]
        return named(said)(answer)

    return judge


def named(shots: Sequence[Shot]) -> Judge:
    """Right where every name in the answer's first moment is true of one of `shots`."""

    def judge(answer: Answer) -> Verdict:
        if answer.abstained:
            return "abstained"
        found = re.search(r"\bI see (.+?) \(0?\.?\d", answer.text)
        names = re.split(r", | and ", found[1]) if found else []
        good = any(all(is_true(name, of=shot.name) for name in names) for shot in shots)
        return "right" if names and good else "wrong"

    return judge


def all_true(shots: Sequence[Shot]) -> Judge:
    """Right where every moment of a summary has a name that is true of what is shown then."""

    def judge(answer: Answer) -> Verdict:
        if answer.abstained:
            return "abstained"
        good = all(
            any(cites(e, shot) and is_true(e.label, of=shot.name) for shot in shots)
            for e in answer.evidence
        )
        return "right" if answer.evidence and good else "wrong"

    return judge


def both(one: Judge, other: Judge) -> Judge:
    def judge(answer: Answer) -> Verdict:
        verdict = one(answer)
        return other(answer) if verdict == "right" else verdict

    return judge


def is_true(name: str, *, of: str) -> bool:
    return any(re.search(rf"\b{word}s?\b", name, re.IGNORECASE) for word in TRUE_NAMES[of])


def cites(evidence: Evidence, shot: Shot) -> bool:
    """Whether a moment is this showing: its peak lies in it, and its ends about there."""
    return (
        shot.start_s - SLACK_S <= evidence.peak_s <= shot.end_s + SLACK_S
        and evidence.start_s >= shot.start_s - SPREAD_S
        and evidence.end_s <= shot.end_s + SPREAD_S
    )


def overlaps(start_s: float, end_s: float, from_s: float, to_s: float) -> bool:
    return start_s < to_s and end_s > from_s


def around(shot: Shot, composition: Composition) -> tuple[float, float]:
    start = max(0.0, math.floor(shot.start_s) - 10.0)
    return start, min(composition.duration_s, start + SPAN_S / 2)


def whole(shots: Sequence[Shot], span: tuple[float, float]) -> bool:
    """Whether every shot lies in the span with its ends."""
    return all(span[0] <= shot.start_s and shot.end_s <= span[1] for shot in shots)


def away_from(shots: Sequence[Shot], composition: Composition) -> tuple[float, float] | None:
    """Return a minute that shows none of `shots`, None where there is none."""
    for start in range(0, int(composition.duration_s - SPAN_S), 5):
        span = (float(start), start + SPAN_S)
        wide = (span[0] - 2 * SLACK_S, span[1] + 2 * SLACK_S)
        if not any(overlaps(shot.start_s, shot.end_s, *wide) for shot in shots):
            return span
    return None


def between(span: tuple[float, float]) -> str:
    return f"between {format_time(span[0])} and {format_time(span[1])}"
