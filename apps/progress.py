"""An ingest as people follow it: a bar with speed and memory fill, a stop that loses nothing."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tqdm import tqdm

from pipelines.ingest import Progress, Stop
from streammem.names import format_time

_BAR = "{percentage:3.0f}%|{bar:24}| {desc}"
_NO_END = "{desc}"


def show(steps: Iterator[Progress], name: str, *, quiet: bool) -> Progress | None:
    """Run `steps` to the end under a bar on stderr; return the last one, None if there was none."""
    last: Progress | None = None
    bar: tqdm | None = None
    try:
        for step in steps:
            last = step
            if quiet:
                continue
            if bar is None:
                bar = tqdm(
                    desc=f"{name} {describe(step)}",
                    total=step.duration_s,
                    file=sys.stderr,
                    bar_format=_BAR if step.duration_s else _NO_END,
                    mininterval=0.5,
                )
            bar.set_description_str(f"{name} {describe(step)}", refresh=False)
            bar.update(min(step.time_s, step.duration_s or step.time_s) - bar.n)
        if bar is not None and last is not None and last.duration_s and last.time_s > 0:
            bar.refresh()
    finally:
        if bar is not None:
            bar.close()
    return last


def describe(step: Progress) -> str:
    """Return where an ingest is: time of the stream, speed, time left, memory fill."""
    parts = [format_time(step.time_s)]
    if step.duration_s:
        parts[0] += f"/{format_time(step.duration_s)}"
    parts.append(f"{step.realtime:.0f}x realtime")
    if step.duration_s and step.realtime > 0:
        left_s = max(0.0, step.duration_s - step.time_s) / step.realtime
        parts.append(f"ETA {format_time(left_s)}")
    parts.append(f"memory {step.memory_bytes / 1e6:.1f}/{step.budget_bytes / 1e6:.0f} MB")
    return ", ".join(parts)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Yield a `Stop` that Ctrl-C and SIGTERM trigger; a second Ctrl-C interrupts at once."""
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.ask()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
