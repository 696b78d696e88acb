"""What a memory counts: the frames it saw, what left it and why, and what it held over time."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from memory_banks.history import History, Sample
from memory_banks.tiers import Tiers
from streammem.records import Eviction


class Books:
    """Counts of everything since the memory began; of evictions the last `log_size` are kept.

    `found` is the metadata that a file holds, `log` and `samples` the rest of what `metadata`,
    `log` and `history` gave when it was written.
    """

    def __init__(
        self,
        found: Mapping[str, Any],
        *,
        log: Iterable[Eviction],
        samples: Iterable[Sample],
        log_size: int,
    ) -> None:
        self.frames_seen = int(found.get("frames_seen", 0))
        self.evicted: Counter[str] = Counter(found.get("evicted", {}))
        self.log: deque[Eviction] = deque(log, maxlen=log_size)
        self.history = History(samples)

    def note(self, evictions: Iterable[Eviction]) -> None:
        """Count what left the memory."""
        for gone in evictions:
            self.log.append(gone)
            self.evicted[gone.reason] += 1

    def sample(self, tiers: Tiers, *, held_bytes: int) -> None:
        """Put down what is held now, where a sample is due."""
        if not self.history.is_due(self.frames_seen):
            return
        entries = tiers.counts()
        self.history.record(
            Sample(
                self.frames_seen,
                sensory=entries["sensory"],
                working=entries["working"],
                long_term=entries["long_term"],
                bytes=held_bytes,
                merged=self.evicted["merged"],
                lost=self.evicted["capacity"],
                deleted=self.evicted["deleted"],
            )
        )

    def metadata(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        return {"frames_seen": self.frames_seen, "evicted": dict(self.evicted)}
