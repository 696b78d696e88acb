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
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from answer_cases import SLACK_S, TUNING_SEED, Case, Verdict, cases

from memory_banks.tiered import Memory, open_memory
from pipelines.answer import ask
from pipelines.compose import Composition, compose_stream, plan_shots
from pipelines.ingest import ingest
from streammem.answerers.rules import RulesAnswerer, RulesConfig
from streammem.answerers.shots import cut_shots
from streammem.encoders.choose import choose_encoder
from streammem.protocols import Encoder
from streammem.records import Answer

Streams = Sequence[tuple[Composition, Memory]]

FPS = 10
WRONG_GOAL = 0.05
HELD_OUT = (21, 22)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case, the answer it got, and what that answer is worth."""

    case: Case
    answer: Answer
    verdict: Verdict


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


def wilson_interval(right: int, total: int, *, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of a share, of 95 % with the default `z` (Wilson, 1927)."""
    if total == 0:
        return 0.0, 1.0
    share, square = right / total, z * z / total
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / total + square / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


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
