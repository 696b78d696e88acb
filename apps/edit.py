"""`streammem forget`, `pin`, `unpin` and `save`: one memory, changed or copied."""

import argparse
import math
from pathlib import Path

from apps.output import count_of, forgotten_json, moment_lines, note, print_json, span
from memory_banks.tiered import Memory, open_memory
from pipelines.forget import forget_moments
from pipelines.search import search_text
from streammem.encoders.choose import choose_encoder
from streammem.errors import UsageError
from streammem.names import parse_time
from streammem.records import Evidence


def forget(arguments: argparse.Namespace) -> int:
    """Delete a span, a source, entries or what a search finds, and list what went."""
    start_s, end_s = _check_forget(arguments)
    dry = arguments.dry_run or (arguments.query is not None and not arguments.yes)
    moments: list[Evidence] = []
    with open_memory(Path(arguments.memory), mode="read" if dry else "write") as memory:
        if arguments.query is not None:
            moments = _found(memory, arguments)
            gone = forget_moments(memory, moments, dry=dry)
        elif arguments.entry:
            gone = memory.forget(entry_ids=arguments.entry, dry=dry)
        else:
            gone = memory.forget(source_id=arguments.source, start_s=start_s, end_s=end_s, dry=dry)
    if arguments.json:
        print_json([forgotten_json(one) for one in gone])
    else:
        for line in moment_lines(moments, name_source=False):
            print(line.strip())
        for one in gone:
            print(f"  #{one.entry_id} {one.source_id} {span(one.start_s, one.end_s)}: {one.why}")
        print(f"{'would forget' if dry else 'forgot'} {count_of(gone, 'entry')}")
    if dry and not arguments.dry_run:
        note(
            "nothing is deleted yet: --yes deletes all of it, for good; -k N takes the first N "
            "moments alone, --entry the entries that you name"
        )
    return 0


def pin(arguments: argparse.Namespace) -> int:
    """Keep entries from being merged or let go."""
    with open_memory(Path(arguments.memory), mode="write") as memory:
        memory.pin(arguments.entry)
    note(f"pinned {count_of({*arguments.entry}, 'entry')}, until unpinned or forgotten")
    return 0


def unpin(arguments: argparse.Namespace) -> int:
    """Let entries be merged or let go again."""
    with open_memory(Path(arguments.memory), mode="write") as memory:
        gone = memory.unpin(arguments.entry)
    left = f"; {count_of(gone, 'entry')} left at once for want of room" if gone else ""
    note(f"unpinned {count_of({*arguments.entry}, 'entry')}{left}")
    return 0


def save(arguments: argparse.Namespace) -> int:
    """Write a copy of a memory as it was at its last checkpoint."""
    out = Path(arguments.out)
    if out.exists() and not arguments.force:
        raise UsageError(f"{out} exists; choose another name, or allow overwriting with --force")
    with open_memory(Path(arguments.memory), mode="read") as memory:
        memory.save(out, force=arguments.force)
    note(f"saved {arguments.memory} as {out}")
    return 0


def _check_forget(arguments: argparse.Namespace) -> tuple[float, float]:
    """Refuse what cannot be meant; return the span of --from and --to, all time without them."""
    in_time = arguments.start is not None or arguments.end is not None
    ways = [in_time, arguments.query is not None, bool(arguments.entry)]
    if sum(ways) > 1 or not (any(ways) or arguments.source is not None):
        raise UsageError(
            "say what to forget, in one way: --from, --to and --source, or --query, or --entry"
        )
    if arguments.entry and arguments.source is not None:
        raise UsageError("an entry is of one source; give --entry without --source")
    if arguments.query is not None and not arguments.query.strip():
        raise UsageError("the query is empty; say in words what to forget")
    start_s = -math.inf if arguments.start is None else parse_time(arguments.start)
    end_s = math.inf if arguments.end is None else parse_time(arguments.end)
    if end_s <= start_s:
        raise UsageError(f"--to {arguments.end} is not after --from {arguments.start}")
    return start_s, end_s


def _found(memory: Memory, arguments: argparse.Namespace) -> list[Evidence]:
    """Return the moments that `streammem search` finds for the same words."""
    encoder = choose_encoder(memory.encoder.name)
    memory.check_encoder(encoder)
    return search_text(memory, encoder, arguments.query, k=arguments.k, source_id=arguments.source)
