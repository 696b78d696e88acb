"""Time several things in turn, so that what else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

Seconds = dict[str, list[float]]
"""The seconds of each named thing, a number for each round."""


def take_turns(runs: Mapping[str, Callable[[], object]], *, rounds: int) -> Seconds:
    """Return the wall time of each run in each of `rounds`, after one round that does not count."""
    seconds: Seconds = {name: [] for name in runs}
    for counts in (False, *[True] * rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if counts:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def times_faster(seconds: Seconds, slower: str, faster: str) -> float:
    """Return the median over the rounds of how many times longer `slower` took."""
    pairs = zip(seconds[slower], seconds[faster], strict=True)
    return statistics.median(one / other for one, other in pairs)
