"""How often answers about composed streams are right, and how often surely wrong.

    .venv/bin/python scripts/bench_answers.py [--quick] [--tune] [--json] [--work FOLDER]

Streams are composed of packaged footage, so that the truth of every question is known by
construction. Seed 0 and one half of the things asked about are the half that thresholds were
chosen on; the other seeds and the other things are held out. The background clips are the same in
both halves. Every answer is one of:

    right      it says what is true and cites just the moments that show it
    abstained  it says that it is not sure, or that it cannot tell such things at all
    wrong      anything else: a false name, a false time, one showing too few or too many

`--tune` searches for better thresholds on the tuning half and prints what they give on both.
"""

import argparse
import json
import math
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from memory_banks.tiered import Memory, open_memory
from pipelines.answer import ask
from pipelines.compose import Composition, Shot, compose_stream, plan_shots
from pipelines.footage import PICTURES
from pipelines.ingest import ingest
from streammem.answerers.calibration import wilson_interval
from streammem.answerers.rules import RulesAnswerer, RulesConfig
from streammem.answerers.shots import cut_shots
from streammem.encoders.choose import choose_encoder
from streammem.names import format_time
from streammem.protocols import Encoder
from streammem.records import Answer, Evidence

Verdict = Literal["right", "abstained", "wrong"]
Judge = Callable[[Answer], Verdict]
Thing = Literal["known", "unknown", "absent", "absent unknown", "clip", "span"]

Streams = Sequence[tuple[Composition, Memory]]

FPS = 10
SLACK_S = 1.0
SPREAD_S = 3.0
SPAN_S = 60.0
WRONG_GOAL = 0.05
TUNING_SEED = 0
HELD_OUT = (3, 4)
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case, the answer it got, and what that answer is worth."""

    case: Case
    answer: Answer
    verdict: Verdict


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


def watched(path: Path, encoder: Encoder, *, seconds: int, seed: int) -> tuple[Composition, Memory]:
    """Compose a stream where it is not there yet, and return it with a memory of it."""
    if not path.exists():
        unfinished = path.with_suffix(".part.mp4")
        compose_stream(unfinished, seconds=seconds, seed=seed, fps=FPS)
        unfinished.rename(path)
    timeline = plan_shots(seconds=seconds, seed=seed)
    composition = Composition(path, timeline[-1].end_s, FPS, seed, timeline)
    memory = open_memory(None, encoder=encoder, mode="write")
    for _ in ingest(path, encoder, memory):
        pass
    return composition, memory


def outcomes(streams: Streams, encoder: Encoder, config: RulesConfig) -> list[Outcome]:
    """Ask every question about every stream."""
    answerer = RulesAnswerer(config)
    found = []
    for composition, memory in streams:
        for case in cases(composition):
            answer = ask(memory, encoder, answerer, case.question)
            found.append(Outcome(case, answer, case.judge(answer)))
    return found


def shares(found: Sequence[Outcome]) -> dict[Verdict, float]:
    return {
        verdict: sum(outcome.verdict == verdict for outcome in found) / max(len(found), 1)
        for verdict in ("right", "abstained", "wrong")
    }


def tuned(streams: Streams, encoder: Encoder) -> RulesConfig:
    """Return the thresholds that do best on `streams`, chosen one after the other.

    Best is most right answers, where a surely wrong one costs as much as four right ones win.
    """

    def worth(candidate: RulesConfig) -> float:
        share = shares(outcomes(streams, encoder, candidate))
        return share["right"] - 4 * share["wrong"]

    config = RulesConfig()
    best = worth(config)
    for name, values in GRID.items():
        for value in values:
            change: dict[str, Any] = {name: value}
            if hasattr(config.moments, name):
                change = {"moments": replace(config.moments, **change)}
            candidate = replace(config, **change)
            score = worth(candidate)
            say(f"{name} {value}: {score:.3f}")
            if score > best:
                config, best = candidate, score
    return config


GRID: dict[str, tuple[float, ...]] = {
    "on": (0.2, 0.3, 0.4, 0.5),
    "off": (0.05, 0.1, 0.2),
    "share_of_best": (0.0, 0.5, 0.6, 0.7),
    "absent_below": (0.02, 0.05, 0.1),
    "alike": (0.35, 0.4, 0.5, 0.6, 0.7),
    "name_from": (0.3, 0.4, 0.5, 0.6, 0.7),
    "name_lone_from": (0.5, 0.65, 0.8),
}


def table(title: str, found: Sequence[Outcome], *, by: Callable[[Outcome], str]) -> None:
    print(f"\n{title:16} {'n':>4} {'right':>6}  {'95 %':>11} {'abstained':>10} {'wrong':>6}")
    for name in [*dict.fromkeys(sorted(by(outcome) for outcome in found)), "all"]:
        rows = [outcome for outcome in found if name in ("all", by(outcome))]
        share = shares(rows)
        low, high = wilson_interval(sum(o.verdict == "right" for o in rows), len(rows))
        print(
            f"{name:16} {len(rows):4} {share['right']:6.2f}  [{low:.2f}, {high:.2f}] "
            f"{share['abstained']:10.2f} {share['wrong']:6.2f}"
        )


def figures_of(found: Sequence[Outcome]) -> dict[str, float]:
    """Return the figures of the held-out half."""
    asked = [o for o in found if o.case.thing in ("known", "absent")]
    sure = [o for o in found if o.verdict != "abstained"]
    figures = {
        "questions": float(len(found)),
        "right_share": shares(found)["right"],
        "right_share_of_recognisable": shares(asked)["right"],
        "right_share_of_sure": 1 - shares(sure)["wrong"],
        "abstained_share": shares(found)["abstained"],
        "surely_wrong_share": shares(found)["wrong"],
        "absent_right_share": shares([o for o in found if o.case.thing == "absent"])["right"],
        "known_right_share": shares([o for o in found if o.case.thing == "known"])["right"],
        "not_surely_wrong_share": 1 - shares(found)["wrong"],
        "seconds_per_question": statistics.mean(o.answer.seconds for o in found),
    }
    for kind in sorted({o.case.kind for o in found}):
        rows = [o for o in found if o.case.kind == kind]
        figures[f"right_share_{kind}"] = shares(rows)["right"]
        figures[f"surely_wrong_share_{kind}"] = shares(rows)["wrong"]
    return figures


def cut_shares(streams: Streams, *, alike: float) -> dict[str, float]:
    """Return precision and recall of cuts: where a shot begins, against the timeline."""
    found = right = true = met = 0
    for composition, memory in streams:
        times = [shot.start_s for shot in composition.timeline[1:]]
        starts = [shot.start_s for shot in cut_shots(memory.entries(), alike=alike)][1:]
        right += sum(any(0 <= start - time_s <= SLACK_S for time_s in times) for start in starts)
        met += sum(any(0 <= start - time_s <= SLACK_S for start in starts) for time_s in times)
        found, true = found + len(starts), true + len(times)
    return {"cut_precision": right / max(found, 1), "cut_recall": met / max(true, 1)}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one held-out stream of two minutes")
    parser.add_argument("--tune", action="store_true", help="search for better thresholds")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--wrong", action="store_true", help="print each surely wrong answer")
    parser.add_argument("--work", type=Path, help="folder that keeps the streams")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    seconds, seeds = (150, HELD_OUT[:1]) if arguments.quick else (600, (TUNING_SEED, *HELD_OUT))
    encoder = choose_encoder("embedded")
    with tempfile.TemporaryDirectory(prefix="streammem-bench-") as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        streams = []
        for seed in seeds:
            started = time.monotonic()
            path = work / f"composed_{seconds}s_{seed}.mp4"
            streams.append(watched(path, encoder, seconds=seconds, seed=seed))
            say(f"stream {seed}: composed and watched in {time.monotonic() - started:.0f} s")
        tuning = [stream for stream in streams if stream[0].seed == TUNING_SEED]
        held_out = [stream for stream in streams if stream[0].seed != TUNING_SEED]
        config = tuned(tuning, encoder) if arguments.tune else RulesConfig()
        found = {
            "tuning": outcomes(tuning, encoder, config),
            "held out": outcomes(held_out, encoder, config),
        }
        figures = figures_of(found["held out"]) | cut_shares(held_out, alike=config.alike)
        for _, memory in streams:
            memory.close()
    if arguments.json:
        goals: dict[str, Any] = {
            "questions": [">=", 60],
            "not_surely_wrong_share": [">=", 1 - WRONG_GOAL],
        }
        print(json.dumps({"figures": figures, "goals": goals}))
        return
    print(config)
    for half, rows in found.items():
        if rows:
            table(f"{half}: kind", rows, by=lambda outcome: outcome.case.kind)
            table(f"{half}: thing", rows, by=lambda outcome: outcome.case.thing)
        for outcome in rows:
            if arguments.wrong and outcome.verdict == "wrong":
                print(f"  wrong: {outcome.case.question}  {outcome.answer.text}")
    print(
        f"\nheld out: {figures['questions']:.0f} questions, surely wrong "
        f"{figures['surely_wrong_share']:.3f} (goal: at most {WRONG_GOAL}), right where it is sure "
        f"{figures['right_share_of_sure']:.2f}, "
        f"{figures['seconds_per_question'] * 1000:.0f} ms a question; cuts: precision "
        f"{figures['cut_precision']:.2f}, recall {figures['cut_recall']:.2f}"
    )


if __name__ == "__main__":
    main()
