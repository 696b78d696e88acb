"""What a memory knows of one thing: where it is seen, how surely, and what comes closest."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from streammem.answerers.moments import MomentConfig, group_moments, sampling_step_s
from streammem.protocols import MemoryView
from streammem.records import Evidence, MemoryEntry

Grade = Literal["sure", "unsure", "absent", "unknown"]
_CLOSEST = 3


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where `subject` is seen.

    `grade` is *sure* where there are `moments`, *unsure* where something may be it, *absent* where
    nothing is, *unknown* where the encoder cannot tell. `closest` are the likest moments, best
    first, whatever the grade. `seconds` is how long it is seen in all.
    """

    subject: str
    grade: Grade
    moments: tuple[Evidence, ...]
    closest: tuple[Evidence, ...]
    seconds: float


def look_for(
    subject: str,
    view: MemoryView,
    entries: Sequence[MemoryEntry],
    *,
    config: MomentConfig,
    absent_below: float,
) -> Sighting:
    """Return where `subject` is seen among `entries`, which are by source and time."""
    closest = _closest(subject, view, entries, gap_s=config.gap_s)
    if not view.encoder.knows(subject):
        return Sighting(subject, "unknown", (), closest, 0.0)
    keys = np.stack([entry.key for entry in entries])  # [N, D]
    presence = view.encoder.presence(subject, keys)  # [N]
    scores = keys @ view.encoder.encode_text([subject])[0]  # [N]
    moments: list[Evidence] = []
    seconds = 0.0
    labels: dict[int, str] = {}
    for _, group in groupby(range(len(entries)), key=lambda i: entries[i].source_id):
        members = list(group)
        of_source = [entries[i] for i in members]
        found = group_moments(of_source, presence[members], scores[members], config=config)
        step_s = sampling_step_s(of_source)
        seconds += sum(moment.end_s - moment.start_s + step_s for moment in found)
        moments += found
        labels |= {
            entry.entry_id: view.encoder.describe(entry.key, k=1)[0][0]
            for entry in of_source
            if entry.entry_id in {moment.entry_id for moment in found}
        }
    named = tuple(replace(moment, label=labels[moment.entry_id]) for moment in moments)
    if named:
        grade: Grade = "sure"
    else:
        grade = "unsure" if float(presence.max()) >= absent_below else "absent"
    return Sighting(subject, grade, named, closest, seconds)


def _closest(
    subject: str, view: MemoryView, entries: Sequence[MemoryEntry], *, gap_s: float
) -> tuple[Evidence, ...]:
    """Return the entries likest to the words, those that touch taken together."""
    allowed = {entry.entry_id for entry in entries}
    query = view.encoder.encode_text([subject])[0]
    kept: dict[str, list[Evidence]] = defaultdict(list)
    best: list[Evidence] = []
    for entry, score in view.search(query, k=_CLOSEST * 8):
        near = any(
            entry.start_s <= other.end_s + gap_s and entry.end_s >= other.start_s - gap_s
            for other in kept[entry.source_id]
        )
        if entry.entry_id not in allowed or near or len(best) == _CLOSEST:
            continue
        moment = Evidence(
            entry_id=entry.entry_id,
            source_id=entry.source_id,
            start_s=entry.start_s,
            end_s=entry.end_s,
            score=score,
            peak_s=entry.mean_s,
            presence=float(view.encoder.presence(subject, entry.key[None])[0]),
            label=view.encoder.describe(entry.key, k=1)[0][0],
        )
        kept[entry.source_id].append(moment)
        best.append(moment)
    return tuple(best)
