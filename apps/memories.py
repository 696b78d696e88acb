"""`streammem memories` and `export`: what memories hold, listed, drawn and written out."""

import argparse
from pathlib import Path
from typing import Any

from apps.output import count_of, eviction_json, megabytes, note, print_json, span
from apps.plot import draw_plot
from memory_banks.export import export_memory
from memory_banks.tiered import Memory, open_memory
from streammem.errors import UsageError
from streammem.names import format_time


def run(arguments: argparse.Namespace) -> int:
    """List memory files with their sources and tiers."""
    paths = [Path(name) for name in arguments.memory] or sorted(Path().glob("*.smem"))
    if not paths:
        note("no *.smem file here; make one with: streammem ingest VIDEO --memory FILE.smem")
    if arguments.plot and len(paths) != 1:
        raise UsageError(f"--plot draws one memory, got {len(paths)}; name the one")
    found = []
    for path in paths:
        with open_memory(path, mode="read") as memory:
            found.append(_summary(path, memory, arguments))
            if arguments.plot:
                _plot(memory, path, Path(arguments.plot), force=arguments.force)
    if arguments.json:
        print_json(found)
        return 0
    for summary in found:
        _print_summary(summary)
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write a memory's entries in the form that the file's ending names."""
    out = Path(arguments.out)
    with open_memory(Path(arguments.memory), mode="read") as memory:
        export_memory(memory, out, force=arguments.force)
    note(f"wrote {out}")
    return 0


def _plot(memory: Memory, path: Path, out: Path, *, force: bool) -> None:
    """Draw what a memory held over time."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"a plot is a PNG, got {out}; choose a name like memory.png")
    if out.exists() and not force:
        raise UsageError(f"{out} exists; choose another name, or allow overwriting with --force")
    stats = memory.stats()
    draw_plot(
        out,
        memory.history(),
        budget_bytes=stats.budget_bytes,
        title=path.name,
        subtitle=f"{stats.frames_seen:,} frames seen in {count_of(memory.sources(), 'source')}; "
        f"{memory.config.consolidation} makes room",
    )
    note(f"wrote {out}")


def _summary(path: Path, memory: Memory, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what one memory holds, as JSON."""
    stats, metadata = memory.stats(), memory.metadata()
    summary: dict[str, Any] = {
        "memory": str(path),
        "encoder": metadata["encoder"],
        "encoder_revision": metadata["encoder_revision"],
        "consolidation": metadata["consolidation"],
        "search": stats.search,
        "bytes": stats.bytes,
        "budget_bytes": stats.budget_bytes,
        "file_bytes": stats.file_bytes,
        "frames_seen": stats.frames_seen,
        "tiers": {
            tier: {"entries": count, "bytes": stats.tier_bytes[tier]}
            for tier, count in stats.entries.items()
        },
        "pinned": memory.pinned(),
        "sources": [
            {
                "source": record.source_id,
                "uri": record.uri,
                "first_s": record.first_s,
                "last_s": record.last_s,
                "frames": record.frames,
                "finished": record.finished,
            }
            for record in memory.sources()
        ],
        "gaps": [
            {
                "source": gap.source_id,
                "start_s": gap.start_s,
                "end_s": gap.end_s,
                "reason": gap.reason,
            }
            for gap in memory.gaps()
        ],
    }
    if arguments.entries:
        summary["entries"] = [
            {
                "entry": entry.entry_id,
                "source": entry.source_id,
                "start_s": entry.start_s,
                "end_s": entry.end_s,
                "mean_s": entry.mean_s,
                "count": entry.count,
                "tier": entry.tier,
                "usage": entry.usage,
                "pinned": entry.pinned,
                "merged_from": list(entry.merged_from),
            }
            for entry in memory.entries()
        ]
    if arguments.evictions:
        summary["evictions"] = [eviction_json(eviction) for eviction in memory.evictions()]
    return summary


def _print_summary(summary: dict[str, Any]) -> None:
    """Print one memory for people."""
    print(
        f"{summary['memory']}: {megabytes(summary['bytes'])} of "
        f"{megabytes(summary['budget_bytes'])}, {summary['frames_seen']} frames seen, "
        f"encoder {summary['encoder']} ({summary['encoder_revision']})"
    )
    print(f"  consolidation {summary['consolidation']}; search {summary['search']}")
    for tier, held in summary["tiers"].items():
        print(f"  {tier:<10} {held['entries']:>6} entries  {megabytes(held['bytes'])}")
    if summary["pinned"]:
        print(f"  pinned {' '.join(f'#{entry_id}' for entry_id in summary['pinned'])}")
    for source in summary["sources"]:
        seen = (
            "nothing yet"
            if source["last_s"] is None
            else f"{format_time(source['first_s'])} to {format_time(source['last_s'])}"
        )
        state = "whole" if source["finished"] else "unfinished"
        print(f"  source {source['source']}: {seen}, {source['frames']} frames, {state}")
    for gap in summary["gaps"]:
        print(f"  gap in {gap['source']}: {span(gap['start_s'], gap['end_s'])}: {gap['reason']}")
    for entry in summary.get("entries", []):
        print(
            f"  #{entry['entry']} {entry['source']} {span(entry['start_s'], entry['end_s'])} "
            f"{entry['tier']} of {entry['count']} frames, used {entry['usage']:g}"
            + (", pinned" if entry["pinned"] else "")
        )
    for eviction in summary.get("evictions", []):
        into = "" if eviction["into"] is None else f" into #{eviction['into']}"
        print(f"  #{eviction['entry']} left: {eviction['reason']}{into}")
