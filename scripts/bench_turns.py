"""Time several things in turn, so that what else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

Seconds = dict[str, list[float]]
"""The seconds of each named thing, a number for each round."""


def take_turns(runs: Mapping[str, Callable[[], object]], *, rounds: int, calls: int = 1) -> Seconds:
    """Return the wall time of each run in each of `rounds`: the fastest of so many `calls`.

    Several calls let each run find its own numbers in the cache, and not those of another.
    """
    seconds: Seconds = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(min(_timed(run) for _ in range(calls)))
    return seconds


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def times_faster(seconds: Seconds, slower: str, faster: str) -> float:
    """Return the median over the rounds of how many times longer `slower` took."""
    pairs = zip(seconds[slower], seconds[faster], strict=True)
    return statistics.median(one / other for one, other in pairs)
