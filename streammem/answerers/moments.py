"""From what each entry shows to moments: spans in which a thing is seen, by hysteresis."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from streammem.records import Evidence, MemoryEntry, Vector

_UNEVEN: Final = 1.5


@dataclass(frozen=True, slots=True)
class MomentConfig:
    """A moment peaks at a presence of `on` or more and lasts while it is at least `off`.

    Holes of up to `gap_s` do not end it, nor does waiting for the next frame where frames are
    rarer. Where a thing is seen clearly, what peaks below `share_of_best` of its best moment is
    taken for something else.
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
    bridged_s = max(config.gap_s, _UNEVEN * sampling_step_s(entries))
    enough = max(config.on, config.share_of_best * float(presence.max(initial=0.0)))
    for index, value in enumerate(presence):
        if value < config.off:
            continue
        last = moments[-1][-1] if moments else None
        if last is not None and entries[index].start_s - entries[last].end_s <= bridged_s:
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
    """Return the usual time between two frames: what the last frame of a moment stands for.

    `entries` are by source and time; the frames of one that holds many lie evenly in it. A second
    where there is nothing to tell it from.
    """
    within = [(one.end_s - one.start_s) / (one.count - 1) for one in entries if one.count > 1]
    between = [
        later.start_s - earlier.end_s
        for earlier, later in pairwise(entries)
        if earlier.source_id == later.source_id
    ]
    steps = [step for step in within + between if step > 0]
    return float(np.median(steps)) if steps else 1.0
