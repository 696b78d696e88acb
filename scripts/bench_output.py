"""How benchmarks print their figures."""

import json
import sys
from collections.abc import Mapping

Goals = dict[str, tuple[str, float]]
"""What each named figure should reach: `(">=", number)`."""


def say(line: str) -> None:
    """Tell people how far it is."""
    print(line, file=sys.stderr, flush=True)


def show(
    figures: Mapping[str, float], goals: Mapping[str, tuple[str, float]], *, as_json: bool
) -> None:
    """Print figures with their goals, for programs or for people."""
    if as_json:
        print(json.dumps({"figures": figures, "goals": goals}))
        return
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        goal = goals.get(name)
        met = "" if goal is None else f"  goal {goal[0]} {goal[1]:g}"
        missed = "" if goal is None or value >= goal[1] else "  MISSED"
        print(f"{name:{width}} {value:12.4f}{met}{missed}")
