"""A stream cut into shots where the picture changes, each named by what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streammem.protocols import Encoder
from streammem.records import Evidence, MemoryEntry


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of entries that look alike; `names` are the most probable classes, best first."""

    entries: tuple[MemoryEntry, ...]
    names: tuple[tuple[str, float], ...]

    @property
    def start_s(self) -> float:
        return self.entries[0].start_s

    @property
    def end_s(self) -> float:
        return self.entries[-1].end_s

    def evidence(self) -> Evidence:
        """Return the shot as a moment, its middle entry for the picture."""
        middle = self.entries[len(self.entries) // 2]
        name, probability = self.names[0] if self.names else ("", 0.0)
        return Evidence(
            entry_id=middle.entry_id,
            source_id=middle.source_id,
            start_s=self.start_s,
            end_s=self.end_s,
            score=probability,
            peak_s=middle.mean_s,
            presence=probability,
            label=name,
        )


def cut_shots(entries: Sequence[MemoryEntry], encoder: Encoder, *, alike: float) -> list[Shot]:
    """Return the shots of one source's `entries`, which are in order of time.

    Two neighbours whose visual keys have a cosine below `alike` lie in different shots.
    """
    runs: list[list[MemoryEntry]] = []
    for entry in entries:
        if runs and float(runs[-1][-1].visual @ entry.visual) >= alike:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return [Shot(tuple(run), tuple(_names(run, encoder))) for run in runs]


def _names(run: Sequence[MemoryEntry], encoder: Encoder) -> list[tuple[str, float]]:
    """Return what the count-weighted mean of a run shows."""
    weights = np.array([entry.count for entry in run], np.float32)
    mean = weights @ np.stack([entry.key for entry in run])
    return encoder.describe(mean / np.linalg.norm(mean), k=2)
