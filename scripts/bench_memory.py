"""The memory banks against the published forms of what they do: bytes, times and equal outputs.

    .venv/bin/python scripts/bench_memory.py [--quick] [--json] [--parts NAME ...]

Each part is a script of its own, which says what it measures and against what:

    stream  bench_memory_stream.py  bytes and time a frame for every strategy; merging to 256 slots
    read    bench_memory_read.py    XMem's read over tokens, beside its dense form
    index   bench_memory_index.py   recall from a million entries, beside exact search
    crash   bench_crash.py          opening 100,000 entries, after a clean end and after a kill
"""

import argparse
import importlib

from bench_output import Goals, say, show

PARTS = {
    "stream": "bench_memory_stream",
    "read": "bench_memory_read",
    "index": "bench_memory_index",
    "crash": "bench_crash",
}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, within a minute")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    figures: dict[str, float] = {}
    goals: Goals = {}
    for part in arguments.parts:
        say(f"{part} ...")
        found, wanted = importlib.import_module(PARTS[part]).measure(quick=arguments.quick)
        if clash := set(figures) & set(found):
            raise SystemExit(f"two parts print {', '.join(sorted(clash))}")
        figures, goals = figures | found, goals | wanted
    show(figures, goals, as_json=arguments.json)


if __name__ == "__main__":
    main()
