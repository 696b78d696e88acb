"""What a memory says of itself: its sources, where to resume them, and what it holds."""

from collections.abc import Mapping
from dataclasses import dataclass

from streammem.records import SourceInfo, Tier


@dataclass(frozen=True, slots=True)
class SourceState:
    """Where to resume a source: after `last_s`, None where nothing of it was seen yet."""

    source_id: str
    last_s: float | None
    finished: bool


@dataclass(slots=True)
class SourceRecord:
    """A source that was watched, from `first_s` to `last_s`, as far as `frames` were taken of it.

    `number` is its place in the memory, from 1. `created_at` is a UTC time in ISO 8601.
    """

    number: int
    source_id: str
    uri: str
    info: SourceInfo
    fingerprint: str
    sampling_fps: float
    created_at: str
    first_s: float | None = None
    last_s: float | None = None
    frames: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What a memory holds and what left it.

    `frames_seen` is `frames_held` plus the frames of entries that left for want of room or were
    deleted. `entries` and `tier_bytes` count by tier, `evictions` by reason. `bytes` is everything
    that the budget bounds, in RAM and file together. `file_bytes` is the size of the file with its
    write-ahead log at this moment. `search` says in words how a recall looks through the entries.
    """

    frames_seen: int
    frames_held: int
    entries: Mapping[Tier, int]
    tier_bytes: Mapping[Tier, int]
    bytes: int
    budget_bytes: int
    evictions: Mapping[str, int]
    file_bytes: int
    search: str = ""
