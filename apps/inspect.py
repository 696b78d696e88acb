"""`streammem inspect`: one entry, where it came from and what it was made of."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from apps.output import note, print_json, span
from memory_banks.editing import Inspection
from memory_banks.tiered import Memory, open_memory
from streammem.encoders.choose import choose_encoder
from streammem.errors import StreamMemError
from streammem.names import format_time
from streammem.records import MemoryEntry

MERGES_SHOWN = 40


def run(arguments: argparse.Namespace) -> int:
    """Show an entry with its origin, what is seen in it, and its ancestry."""
    path = Path(arguments.memory)
    with open_memory(path, mode="read") as memory:
        found = memory.inspect(arguments.entry)
        uris = {record.source_id: record.uri for record in memory.sources()}
        shows = _shows(memory, found.entry)
    uri = uris[found.entry.source_id]
    if arguments.json:
        print_json({"memory": str(path), **_json(found, uri=uri, shows=shows)})
        return 0
    _print(found, uri=uri, shows=shows)
    if not shows:
        note("what it shows is not said: its encoder is not installed; see: streammem doctor")
    return 0


def merge_lines(entry_id: int, made_of: Mapping[int, Sequence[int]]) -> Iterator[str]:
    """Yield a line for every merge that led to an entry, the newest first.

    Two lines are indented the more where both of what was merged had been merged before.
    """
    waiting = [(entry_id, 0)]
    while waiting:
        one, depth = waiting.pop()
        parts = made_of[one]
        yield f"{'  ' * depth}#{one} = {' + '.join(f'#{part}' for part in parts)}"
        merged = [part for part in parts if part in made_of]
        waiting += [(part, depth + (len(merged) > 1)) for part in reversed(merged)]


def _shows(memory: Memory, entry: MemoryEntry) -> list[tuple[str, float]]:
    """Return the likeliest names for what an entry shows, none without its encoder's models."""
    try:
        encoder = choose_encoder(memory.encoder.name)
        memory.check_encoder(encoder)
    except StreamMemError:
        return []
    return encoder.describe(entry.key, k=3)


def _json(found: Inspection, *, uri: str, shows: Sequence[tuple[str, float]]) -> dict[str, Any]:
    entry = found.entry
    return {
        "entry": entry.entry_id,
        "source": entry.source_id,
        "uri": uri,
        "start_s": entry.start_s,
        "end_s": entry.end_s,
        "mean_s": entry.mean_s,
        "count": entry.count,
        "tier": entry.tier,
        "usage": entry.usage,
        "pinned": entry.pinned,
        "shows": [{"name": name, "probability": round(share, 4)} for name, share in shows],
        "made_of": {str(one): list(parts) for one, parts in found.made_of.items()},
        "ancestry_whole": found.whole,
    }


def _print(found: Inspection, *, uri: str, shows: Sequence[tuple[str, float]]) -> None:
    entry = found.entry
    print(f"#{entry.entry_id} {entry.source_id} {span(entry.start_s, entry.end_s)}")
    lines = {
        "source": uri,
        "frames": f"{entry.count}, at {format_time(entry.mean_s, decimals=1)} in the mean",
        "tier": entry.tier.replace("_", "-"),
        "used": f"{entry.usage:g} times",
        "pinned": "yes" if entry.pinned else "no",
        "shows": ", ".join(f"{name} {share:.2f}" for name, share in shows),
        "made of": "" if found.made_of else "one frame, as it came",
    }
    for name, text in lines.items():
        if text or name == "made of":
            print(f"  {name:<9}{text}".rstrip())
    if not found.made_of:
        return
    for line in islice(merge_lines(entry.entry_id, found.made_of), MERGES_SHOWN):
        print(f"    {line}")
    if len(found.made_of) > MERGES_SHOWN:
        print(f"    and {len(found.made_of) - MERGES_SHOWN} more merges; --json lists them all")
    if not found.whole:
        print("    merges before these are no longer in the log")
