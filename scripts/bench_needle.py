"""Does a memory still find what was shown for a second, hours ago, among what came again and again?

    .venv/bin/python scripts/bench_needle.py [--quick] [--json] [--hours 1 6 24]
        [--budgets 128 256 1024 4096] [--strategies NAME ...] [--seeds N] [--work DIR]
        [--footage DIR]

Features of real frames (needle_streams.py says which) are pushed through the tiers of a memory
that holds so many entries in all, sensory and working memory included with the shares they have
in any memory. Needles are shown for 1, 2 or 5 s at known times. Then each is asked for by other
crops of its picture, and by its word where the encoder knows it, and the best entries are judged:

- an entry hits a needle if its span overlaps the needle's and its mean time is within 5 s of the
  needle's middle: an entry of an hour that swallowed the needle does not hit;
- recall@k is the share of queries of which one of the first k entries hits;
- the time error is that of the first entry, the median in seconds.

`oracle` keeps every frame and compares all of them. An entry that is the mean of several views of a
needle can be found where none of its frames is, so a memory may come out above it. Intervals are of
95 %, bootstrapped over needles. Ages are fifths of the stream.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
from bench_output import Goals, say, show
from needle_streams import SHOWN, Needles, haystack, make_needles

from memory_banks.budget import Budget
from memory_banks.changes import Changes
from memory_banks.entries import Row, entry_bytes
from memory_banks.settings import EncoderIdentity, MemoryConfig, Strategy
from memory_banks.tiers import Tiers

ORACLE = "oracle"
SEED = 0
NEEDLES = 120
LEAST_APART_S = 12
NEAR_S = 5.0
AGES = 5
QUICK_S = 1800
RIVALS = ("merge", "prototype")


@dataclass(frozen=True, slots=True)
class Task:
    """One memory to fill and to ask; `times_seed` draws where the needles are."""

    strategy: str
    budget: int
    seconds: int
    times_seed: int


@dataclass(slots=True)
class Judged:
    """What came of the queries of each needle, of one or several runs."""

    hit_at_1: list[float] = field(default_factory=list)
    hit_at_5: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    age: list[float] = field(default_factory=list)
    error_s: list[float] = field(default_factory=list)
    words_at_5: list[float] = field(default_factory=list)

    def extend(self, other: "Judged") -> None:
        """Add the needles of another run."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name))


def place_needles(count: int, *, seconds: int, seed: int) -> list[tuple[int, int]]:
    """Return the first second of each needle and for how many it is shown."""
    rng = np.random.default_rng([SEED, seed, seconds])
    slots = np.arange(LEAST_APART_S, seconds - LEAST_APART_S, LEAST_APART_S)
    starts = rng.choice(slots, size=min(count, len(slots)), replace=False)
    shown = rng.choice([1, 2, SHOWN], size=len(starts))
    return [(int(start), int(length)) for start, length in zip(starts, shown, strict=True)]


def run(task: Task, work: Path, footage: Path | None) -> Judged:
    """Fill one memory and judge what it finds."""
    key, visual = haystack(work, seconds=task.seconds, footage=footage, seed=SEED)
    needles = load_needles(work, footage)
    places = place_needles(len(needles), seconds=task.seconds, seed=task.times_seed)
    for number, (start, length) in enumerate(places):
        key[start : start + length] = needles.shown_key[number, :length]
        visual[start : start + length] = needles.shown_visual[number, :length]
    tiers = filled(task, key, visual)
    judged = Judged()
    for number, (start, length) in enumerate(places):
        judge(judged, tiers, needles, number=number, start=start, length=length)
        judged.age.append(1.0 - start / task.seconds)
    return judged


def load_needles(work: Path, footage: Path | None) -> Needles:
    """Return the needles, which are told apart from the first ten minutes of haystack."""
    hay = haystack(work, seconds=600, footage=footage, seed=SEED)
    return make_needles(work, footage=footage, seed=SEED, most=NEEDLES, hay=hay)


def filled(task: Task, key: np.ndarray, visual: np.ndarray) -> Tiers:
    """Return the tiers after all frames `key [N, D]`, `visual [N, V]`, one a second."""
    numbers = key.shape[1] + visual.shape[1]
    one = entry_bytes(numbers=numbers, thumbnail_bytes=0)
    entries = len(key) if task.strategy == ORACLE else task.budget
    strategy = "fifo" if task.strategy == ORACLE else task.strategy
    changes = Changes(deque(maxlen=0))
    tiers = Tiers(
        config=MemoryConfig(consolidation=strategy),
        budget=Budget(entries * one, 0, 1, 0, 0, entries * one // 3),
        encoder=EncoderIdentity("embedded", "", key.shape[1], visual.shape[1]),
        changes=changes,
        may_merge=lambda left, right: (
            right.start_s - max(left.end_s, left.seen_s) <= MemoryConfig().max_hole_s
        ),
        source_number=lambda source_id: 1,
        next_id=1,
        state={},
    )
    for second in range(len(key)):
        at, time_s = tiers.new_id(), float(second)
        row = Row(at, "stream", time_s, time_s, time_s, 1, at, 0)
        tiers.add(row, key=key[second], visual=visual[second])
        tiers.make_room(entries * one)
        changes.clear()
    return tiers


def judge(
    judged: Judged, tiers: Tiers, needles: Needles, *, number: int, start: int, length: int
) -> None:
    """Ask for one needle in every way and note what was found."""
    middle, last = start + (length - 1) / 2, start + length - 1

    def hits(row: Row) -> bool:
        overlaps = row.start_s <= last and row.end_s >= start
        return overlaps and abs(row.mean_s - middle) <= NEAR_S

    found = [
        [tiers.rows[one] for one, _ in tiers.index.search(query, k=5, by="visual")]
        for query in needles.asked_visual[number].astype(np.float32)
    ]
    judged.held.append(float(any(hits(row) for row in tiers.rows.values())))
    judged.hit_at_1.append(statistics.mean(float(any(map(hits, rows[:1]))) for rows in found))
    judged.hit_at_5.append(statistics.mean(float(any(map(hits, rows))) for rows in found))
    judged.error_s += [abs(rows[0].mean_s - middle) for rows in found if rows]
    if needles.words[number]:
        asked = needles.asked_key[number].astype(np.float32)
        rows = [tiers.rows[one] for one, _ in tiers.index.search(asked, k=5)]
        judged.words_at_5.append(float(any(map(hits, rows))))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean."""
    rng = np.random.default_rng(SEED)
    drawn = rng.choice(np.asarray(values), size=(2000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def figures_of(name: str, judged: Judged) -> dict[str, float]:
    """Return the figures of one memory by name."""
    low, high = interval(judged.hit_at_5)
    figures = {
        f"{name}_recall_at_1": statistics.mean(judged.hit_at_1),
        f"{name}_recall_at_5": statistics.mean(judged.hit_at_5),
        f"{name}_recall_at_5_low": low,
        f"{name}_recall_at_5_high": high,
        f"{name}_held": statistics.mean(judged.held),
        f"{name}_error_s": statistics.median(judged.error_s),
    }
    if judged.words_at_5:
        figures[f"{name}_words_recall_at_5"] = statistics.mean(judged.words_at_5)
    for fifth in range(AGES):
        hits = [
            hit
            for hit, age in zip(judged.hit_at_5, judged.age, strict=True)
            if fifth <= AGES * age < fifth + 1
        ]
        figures[f"{name}_recall_at_5_age_{fifth}"] = statistics.mean(hits) if hits else 0.0
    return figures


def goals_of(
    figures: dict[str, float], arguments: argparse.Namespace
) -> tuple[dict[str, float], Goals]:
    """Return by how much `surprise` finds more than its rivals, and what it should reach."""
    margins: dict[str, float] = {}
    goals: Goals = {}
    for hours in arguments.hours:
        for budget in arguments.budgets:
            ours = figures.get(f"surprise_{budget}_{hours:g}h_recall_at_5")
            for rival in RIVALS:
                theirs = figures.get(f"{rival}_{budget}_{hours:g}h_recall_at_5")
                if ours is not None and theirs is not None:
                    name = f"surprise_minus_{rival}_{budget}_{hours:g}h"
                    margins[name] = ours - theirs
                    goals[name] = (">=", 0.0)
    if "surprise_4096_24h_recall_at_5" in figures:
        goals["surprise_4096_24h_recall_at_5"] = (">=", 0.95)
    return margins, goals


def show_table(figures: dict[str, float], names: Sequence[str]) -> None:
    """Print one line for each memory."""
    columns = (
        "recall@1  recall@5 [interval]      held  error s  words@5  recall@5 by age, new to old"
    )
    print(f"{'':26} {columns}")
    for name in names:
        of = {
            key.removeprefix(f"{name}_"): value
            for key, value in figures.items()
            if key.startswith(f"{name}_")
        }
        ages = " ".join(f"{of[f'recall_at_5_age_{fifth}']:.2f}" for fifth in range(AGES))
        words = f"{of['words_recall_at_5']:.2f}" if "words_recall_at_5" in of else "-"
        print(
            f"{name:26} {of['recall_at_1']:8.3f}  {of['recall_at_5']:8.3f} "
            f"[{of['recall_at_5_low']:.2f}, {of['recall_at_5_high']:.2f}]  {of['held']:6.3f}  "
            f"{of['error_s']:7.1f}  {words:>7}  {ages}"
        )


def parsed() -> argparse.Namespace:
    footage = Path(__file__).resolve().parents[2] / "shared" / "data" / "footage"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="half an hour, 128 entries")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 6.0, 24.0])
    parser.add_argument("--budgets", type=int, nargs="+", default=[128, 256, 1024, 4096])
    parser.add_argument(
        "--strategies", nargs="+", choices=get_args(Strategy), default=get_args(Strategy)
    )
    parser.add_argument("--seeds", type=int, default=2, help="draws of the needles' times")
    parser.add_argument("--work", type=Path, help="folder that keeps the features between runs")
    parser.add_argument("--footage", type=Path, default=footage if footage.is_dir() else None)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.hours, arguments.budgets, arguments.seeds = [QUICK_S / 3600], [128], 1
    return arguments


def main() -> None:
    arguments = parsed()
    work = arguments.work or Path(tempfile.gettempdir()) / "streammem-needle"
    work.mkdir(parents=True, exist_ok=True)
    longest = round(3600 * max(arguments.hours))
    haystack(work, seconds=longest, footage=arguments.footage, seed=SEED)
    needles = load_needles(work, arguments.footage)
    say(f"{len(needles)} needles, {sum(map(bool, needles.words))} of them known by a word")
    kinds = [
        (strategy, budget, hours)
        for hours in arguments.hours
        for strategy in (ORACLE, *arguments.strategies)
        for budget in (arguments.budgets if strategy != ORACLE else [0])
    ]
    figures: dict[str, float] = {"needles": float(len(needles))}
    names = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = {
            kind: [
                pool.submit(
                    run,
                    Task(kind[0], kind[1], round(3600 * kind[2]), seed),
                    work,
                    arguments.footage,
                )
                for seed in range(arguments.seeds)
            ]
            for kind in kinds
        }
        for (strategy, budget, hours), runs in jobs.items():
            judged = Judged()
            for one in runs:
                judged.extend(one.result())
            name = (
                f"{strategy}_{hours:g}h"
                if strategy == ORACLE
                else f"{strategy}_{budget}_{hours:g}h"
            )
            names.append(name)
            figures |= figures_of(name, judged)
            say(f"{name}: recall@5 {figures[f'{name}_recall_at_5']:.3f}")
    margins, goals = goals_of(figures, arguments)
    if arguments.json:
        print(json.dumps({"figures": figures | margins, "goals": goals}))
        return
    show_table(figures, names)
    show(margins | {name: figures[name] for name in goals if name in figures}, goals, as_json=False)


if __name__ == "__main__":
    main()
    sys.exit(0)
