"""From what each entry shows to moments: spans in which a thing is seen, by hysteresis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streammem.records import Evidence, MemoryEntry, Vector


@dataclass(frozen=True, slots=True)
class MomentConfig:
    """A moment peaks at a presence of `on` or more and lasts while it is at least `off`.

    Holes of up to `gap_s` do not end it. Where a thing is seen clearly, what peaks below
    `share_of_best` of its best moment is taken for something else.
    """

    on: float = 0.3
    off: float = 0.1
    gap_s: float = 2.5
    share_of_best: float = 0.6


def group_moments(
    entries: Sequence[MemoryEntry],
    presence: Vector,
    scores: Vector,
    *,
    config: MomentConfig,
) -> list[Evidence]:
    """Return the moments of one source in order of time.

    `entries` are in order of time, `presence [N]` and `scores [N]` theirs. A moment's score and
    picture are those of its most present entry.
    """
    moments: list[list[int]] = []
    enough = max(config.on, config.share_of_best * float(presence.max(initial=0.0)))
    for index, value in enumerate(presence):
        if value < config.off:
            continue
        last = moments[-1][-1] if moments else None
        if last is not None and entries[index].start_s - entries[last].end_s <= config.gap_s:
            moments[-1].append(index)
        else:
            moments.append([index])
    return [
        _moment(entries, presence, scores, members)
        for members in moments
        if max(presence[member] for member in members) >= enough
    ]


def _moment(
    entries: Sequence[MemoryEntry], presence: Vector, scores: Vector, members: list[int]
) -> Evidence:
    peak = max(members, key=lambda member: (float(presence[member]), -member))
    return Evidence(
        entry_id=entries[peak].entry_id,
        source_id=entries[peak].source_id,
        start_s=entries[members[0]].start_s,
        end_s=max(entries[member].end_s for member in members),
        score=float(scores[peak]),
        peak_s=entries[peak].mean_s,
        presence=float(presence[peak]),
    )


def sampling_step_s(entries: Sequence[MemoryEntry]) -> float:
    """Return the usual time between two frames of a source: what the last one stands for."""
    starts = np.array([entry.start_s for entry in entries if entry.count == 1])
    steps = np.diff(starts)
    return float(np.median(steps)) if len(steps) else 1.0
