"""`streammem ingest`: watch a source into a memory file."""

import argparse
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.output import megabytes, note, print_json, run_record
from apps.progress import show, stop_on_signals
from apps.settings import DEFAULT_ENCODER, Settings, read_settings
from memory_banks.opening import is_fresh
from memory_banks.tiered import Memory, open_memory
from pipelines.ingest import ingest
from streammem.encoders.choose import choose_encoder
from streammem.names import format_time
from streammem.protocols import Encoder


@dataclass(frozen=True, slots=True)
class Watched:
    """What one watch of a source came to."""

    frames: int
    stopped_at_s: float | None
    evictions: int
    seconds: float
    realtime: float


def run(arguments: argparse.Namespace) -> int:
    """Watch one source; say what was learned, or how to continue when stopped."""
    settings = read_settings(arguments)
    path = Path(arguments.memory)
    encoder = encoder_for(path, settings)
    with memory_for(path, encoder, settings) as memory:
        watched = watch(
            arguments.source,
            encoder,
            memory,
            settings,
            source_id=arguments.source_id,
            quiet=arguments.quiet,
        )
        stats = memory.stats()
        gaps = memory.gaps()
    if arguments.json:
        print_json(
            {
                "memory": str(path),
                "frames": watched.frames,
                "seconds": round(watched.seconds, 3),
                "realtime": round(watched.realtime, 1),
                "stopped": watched.stopped_at_s is not None,
                "memory_bytes": stats.bytes,
                "budget_bytes": stats.budget_bytes,
                "gaps": [
                    {
                        "source": gap.source_id,
                        "start_s": gap.start_s,
                        "end_s": gap.end_s,
                        "reason": gap.reason,
                    }
                    for gap in gaps
                ],
                **run_record("", 0, encoder),
            }
        )
    for gap in gaps:
        note(
            f"gap in {gap.source_id}: {format_time(gap.start_s)} to {format_time(gap.end_s)}: "
            f"{gap.reason}"
        )
    if watched.stopped_at_s is not None:
        note(
            f"stopped at {format_time(watched.stopped_at_s)}, all of it is kept; continue with:\n"
            f"  {resume_command(arguments)}"
        )
        return 130
    if watched.frames == 0:
        note(f"{arguments.source} is already whole in {path}")
    else:
        note(
            f"remembered {watched.frames} frames in {watched.seconds:.1f} s "
            f"({watched.realtime:.0f}x realtime); {path} takes {megabytes(stats.bytes)} of "
            f"{megabytes(stats.budget_bytes)}"
        )
    return 0


@contextmanager
def memory_for(path: Path, encoder: Encoder, settings: Settings) -> Iterator[Memory]:
    """Open the memory at `path` to write to; one made for a source that would not open goes."""
    fresh = not path.exists()
    empty = False
    try:
        with open_memory(path, encoder=encoder, config=settings.memory, mode="write") as memory:
            try:
                yield memory
            finally:
                empty = not memory.sources()
    finally:
        if fresh and empty:
            path.unlink(missing_ok=True)


def watch(
    source: str | Path,
    encoder: Encoder,
    memory: Memory,
    settings: Settings,
    *,
    source_id: str | None = None,
    quiet: bool,
) -> Watched:
    """Take `source` into `memory` under a progress bar, until its end or Ctrl-C."""
    with stop_on_signals() as stop:
        steps = ingest(
            source,
            encoder,
            memory,
            sampling=settings.sampling,
            config=settings.ingest,
            source_id=source_id,
            stop=stop,
        )
        name = source_id or Path(str(source)).name or str(source)
        last = show(steps, name, quiet=quiet)
        stopped = stop.asked
    if last is None:
        return Watched(0, 0.0 if stopped else None, 0, 0.0, 0.0)
    return Watched(
        frames=last.frames,
        stopped_at_s=last.time_s if stopped else None,
        evictions=last.evictions,
        seconds=last.elapsed_s,
        realtime=last.realtime,
    )


def encoder_for(path: Path, settings: Settings) -> Encoder:
    """Return the encoder asked for, else the one the memory at `path` was made with."""
    name = settings.encoder.name
    if name is None and not is_fresh(path):
        with open_memory(path, mode="read") as memory:
            name = str(memory.metadata()["encoder"])
    return choose_encoder(name or DEFAULT_ENCODER, device=settings.encoder.device)


def resume_command(arguments: argparse.Namespace) -> str:
    """Return the command line that takes a stopped ingest up again."""
    words = ["streammem", "ingest", arguments.source, "--memory", arguments.memory]
    flags = {
        "--source-id": arguments.source_id,
        "--from": arguments.start,
        "--to": arguments.end,
        "--fps": arguments.fps,
        "--budget-mb": arguments.budget_mb,
        "--consolidation": arguments.consolidation,
        "--encoder": arguments.encoder,
        "--device": arguments.device,
        "--config": arguments.config,
    }
    for flag, value in flags.items():
        if value is not None:
            words += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)
