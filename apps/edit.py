"""`streammem forget`, `pin`, `unpin`, `inspect` and `save`: one memory, changed or looked into."""

import argparse
import math
from pathlib import Path
from typing import Any

from apps.output import forgotten_json, note, print_json, span
from memory_banks.editing import Forgotten, Inspection
from memory_banks.tiered import Memory, open_memory
from pipelines.search import search_text
from streammem.encoders.choose import choose_encoder
from streammem.errors import UsageError
from streammem.names import parse_time

SHOWN_ANCESTORS = 40


def forget(arguments: argparse.Namespace) -> int:
    """Delete a span, a source, entries or what a search finds, and list what went."""
    by_span = [arguments.start, arguments.end, arguments.source]
    ways = [any(given is not None for given in by_span), arguments.query, arguments.entry]
    if arguments.query and arguments.source and not (arguments.start or arguments.end):
        ways[0] = None
    if sum(map(bool, ways)) != 1:
        raise UsageError(
            "say what to forget, in one way: --from, --to and --source, or --entry, or --query"
        )
    times = _span(arguments)
    dry = arguments.dry_run or (arguments.query is not None and not arguments.yes)
    with open_memory(Path(arguments.memory), mode="read" if dry else "write") as memory:
        gone = _forget(memory, arguments, times=times, dry=dry)
    if arguments.json:
        print_json([forgotten_json(one) for one in gone])
        return 0
    for one in gone:
        print(f"  #{one.entry_id} {one.source_id} {span(one.start_s, one.end_s)}: {one.why}")
    if dry:
        again = "" if arguments.dry_run else "; to forget them for good, say --yes"
        print(f"would forget {len(gone)} entries{again}")
    else:
        print(f"forgot {len(gone)} entries")
    return 0


def pin(arguments: argparse.Namespace) -> int:
    """Keep entries from being merged or let go."""
    with open_memory(Path(arguments.memory), mode="write") as memory:
        memory.pin(arguments.entry)
    note(f"pinned {len(set(arguments.entry))} entries; they stay until unpinned or forgotten")
    return 0


def unpin(arguments: argparse.Namespace) -> int:
    """Let entries be merged or let go again."""
    with open_memory(Path(arguments.memory), mode="write") as memory:
        memory.unpin(arguments.entry)
    note(f"unpinned {len(set(arguments.entry))} entries")
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Show one entry with where it came from and what it was made of."""
    with open_memory(Path(arguments.memory), mode="read") as memory:
        found = memory.inspect(arguments.entry)
        uris = {record.source_id: record.uri for record in memory.sources()}
    shown = _inspection_json(found, uri=uris[found.entry.source_id])
    if arguments.json:
        print_json(shown)
        return 0
    entry = found.entry
    print(f"#{entry.entry_id} {entry.source_id} {span(entry.start_s, entry.end_s)}")
    for name in ("uri", "mean_s", "count", "tier", "usage", "pinned"):
        print(f"  {name:<8} {shown[name]}")
    print(f"  made of  {_ancestry(found)}")
    return 0


def save(arguments: argparse.Namespace) -> int:
    """Write a copy of a memory as it was at its last checkpoint."""
    out = Path(arguments.out)
    with open_memory(Path(arguments.memory), mode="read") as memory:
        memory.save(out, force=arguments.force)
    note(f"saved {arguments.memory} as {out}")
    return 0


def _span(arguments: argparse.Namespace) -> tuple[float, float]:
    """Return the span that --from and --to give, of all time where they give none."""
    start_s = -math.inf if arguments.start is None else parse_time(arguments.start)
    end_s = math.inf if arguments.end is None else parse_time(arguments.end)
    if end_s <= start_s:
        raise UsageError(f"--to {arguments.end} is not after --from {arguments.start}")
    return start_s, end_s


def _forget(
    memory: Memory, arguments: argparse.Namespace, *, times: tuple[float, float], dry: bool
) -> list[Forgotten]:
    """Forget in the way that was asked for; return what went, or would go."""
    if arguments.entry:
        return memory.forget(entry_ids=arguments.entry, dry=dry)
    if arguments.query:
        encoder = choose_encoder(memory.encoder.name)
        memory.check_encoder(encoder)
        moments = search_text(
            memory, encoder, arguments.query, k=arguments.k, source_id=arguments.source
        )
        gone: dict[int, Forgotten] = {}
        for moment in moments:
            for one in memory.forget(
                source_id=moment.source_id, start_s=moment.start_s, end_s=moment.end_s, dry=dry
            ):
                gone.setdefault(one.entry_id, one)
        return list(gone.values())
    start_s, end_s = times
    return memory.forget(source_id=arguments.source, start_s=start_s, end_s=end_s, dry=dry)


def _inspection_json(found: Inspection, *, uri: str) -> dict[str, Any]:
    entry = found.entry
    return {
        "entry": entry.entry_id,
        "source": entry.source_id,
        "uri": uri,
        "start_s": entry.start_s,
        "end_s": entry.end_s,
        "mean_s": round(entry.mean_s, 3),
        "count": entry.count,
        "tier": entry.tier,
        "usage": entry.usage,
        "pinned": entry.pinned,
        "made_of": {str(one): list(parts) for one, parts in found.made_of.items()},
        "ancestry_whole": found.whole,
    }


def _ancestry(found: Inspection) -> str:
    """Return in words what an entry was made of."""
    if not found.made_of:
        return "one frame, as it came"
    steps = [
        f"#{one} = {' + '.join(f'#{part}' for part in parts)}"
        for one, parts in list(found.made_of.items())[:SHOWN_ANCESTORS]
    ]
    more = len(found.made_of) - len(steps)
    end = f", and {more} more merges" if more else ""
    start = "" if found.whole else " (the log of evictions reaches no further back)"
    return "; ".join(steps) + end + start
