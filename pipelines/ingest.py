"""From a source of frames to a memory: decode, encode, remember, commit."""

import hashlib
import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from memory_banks.tiered import Memory
from streammem.protocols import Encoder, FrameSource
from streammem.records import Gap, SourceInfo
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig

T = TypeVar("T")
_PROBE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """`checkpoint_s` is the wall time between two commits: what a killed process can lose."""

    batch_size: int = 8
    checkpoint_s: float = 5.0


class Stop:
    """Ends an ingest between two frames; what was taken in stays, and can be continued."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._source: FrameSource | None = None

    @property
    def asked(self) -> bool:
        """Whether someone has asked for the end."""
        return self._asked.is_set()

    def watch(self, source: FrameSource) -> None:
        """Close `source` when the end is asked for."""
        self._source = source
        if self.asked:
            source.close()

    def ask(self) -> None:
        """Ask for the end; safe in a signal handler, since another thread does the closing."""
        self._asked.set()
        source = self._source
        if source is not None:
            threading.Thread(target=source.close, name="stop-ingest", daemon=True).start()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest has come; `time_s` is the source's clock, `elapsed_s` the wall's."""

    source_id: str
    time_s: float
    started_at_s: float
    duration_s: float | None
    frames: int
    evictions: int
    elapsed_s: float
    memory_bytes: int
    budget_bytes: int

    @property
    def realtime(self) -> float:
        """Seconds of stream taken in per second of wall time."""
        return (self.time_s - self.started_at_s) / max(self.elapsed_s, 1e-9)


def ingest(
    uri: str | Path,
    encoder: Encoder,
    memory: Memory,
    *,
    sampling: SamplingConfig | None = None,
    config: IngestConfig | None = None,
    source_id: str | None = None,
    stop: Stop | None = None,
) -> Iterator[Progress]:
    """Take the source at `uri` into `memory`, from where an earlier ingest of it stopped.

    A source that is already whole in the memory yields nothing. Closing the generator, or any
    error, commits what was taken in before.
    """
    sampling = sampling or SamplingConfig()
    source = open_source(uri, sampling, source_id=source_id)
    try:
        state = memory.begin_source(
            source.info, fingerprint=fingerprint(source.info), sampling_fps=sampling.fps
        )
        if state.finished:
            return
        if state.last_s is not None:
            source.close()
            later = replace(sampling, start_s=next_target_s(state.last_s, sampling))
            source = open_source(uri, later, source_id=state.source_id)
        yield from take_in(source, encoder, memory, config=config, stop=stop)
    finally:
        source.close()


def take_in(
    source: FrameSource,
    encoder: Encoder,
    memory: Memory,
    *,
    config: IngestConfig | None = None,
    stop: Stop | None = None,
) -> Iterator[Progress]:
    """Encode and remember every frame of a source the memory has begun; yield after each batch."""
    config, stop = config or IngestConfig(), stop or Stop()
    stop.watch(source)
    source_id = source.info.source_id
    frames = evictions = gaps_kept = 0
    first_s: float | None = None
    started = committed = time.monotonic()
    # A camera's frames are wanted now, not when a batch of them is full.
    size = 1 if source.info.live else config.batch_size
    try:
        for batch in batched(source, size):
            for frame, features in zip(batch, encoder.encode(batch), strict=True):
                evictions += len(memory.push(frame, features))
            frames += len(batch)
            first_s = batch[0].time_s if first_s is None else first_s
            gaps_kept = _keep_gaps(memory, source.gaps, gaps_kept)
            now = time.monotonic()
            if now - committed >= config.checkpoint_s:
                memory.checkpoint()
                committed = now
            stats = memory.stats()
            yield Progress(
                source_id=source_id,
                time_s=batch[-1].time_s,
                started_at_s=first_s,
                duration_s=source.info.duration_s,
                frames=frames,
                evictions=evictions,
                elapsed_s=now - started,
                memory_bytes=stats.bytes,
                budget_bytes=stats.budget_bytes,
            )
        _keep_gaps(memory, source.gaps, gaps_kept)
        if not stop.asked:
            memory.finish_source(source_id)
    finally:
        memory.checkpoint()


def _keep_gaps(memory: Memory, gaps: list[Gap], kept: int) -> int:
    """Write the gaps found since the last call; return how many are written by now."""
    for gap in gaps[kept:]:
        memory.add_gap(gap)
    return len(gaps)


def next_target_s(last_s: float, sampling: SamplingConfig) -> float:
    """Return the first sampling time after `last_s`, so that a resumed ingest skips nothing."""
    if sampling.fps <= 0:
        return math.nextafter(last_s, math.inf)
    steps = math.floor((last_s - sampling.start_s) * sampling.fps + 1e-6) + 1
    return sampling.start_s + steps / sampling.fps


def fingerprint(info: SourceInfo) -> str:
    """Return what tells this source's content from another of the same name.

    A file is known by its size and both its ends, a folder by its files' names and sizes.
    """
    digest = hashlib.sha256()
    path = Path(info.uri)
    if info.live or not path.exists():
        return "live"
    if path.is_dir():
        for picture in sorted(path.iterdir()):
            digest.update(f"{picture.name}\0{picture.stat().st_size}\0".encode())
        return digest.hexdigest()[:32]
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_PROBE_BYTES))
        file.seek(max(0, size - _PROBE_BYTES))
        digest.update(file.read(_PROBE_BYTES))
    return digest.hexdigest()[:32]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of `size`, the last one shorter (itertools has it from 3.12 on)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
