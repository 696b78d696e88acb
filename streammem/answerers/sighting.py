"""What a memory knows of one thing: where it is seen, how surely, and what comes closest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from streammem.answerers.moments import MomentConfig, group_moments, sampling_step_s
from streammem.answerers.things import narrower
from streammem.protocols import MemoryView
from streammem.records import Evidence, MemoryEntry, Vector

Grade = Literal["sure", "unsure", "absent", "unknown"]
_CLOSEST = 3
_HITS = 8
_SAME = 0.9


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where `subject` is seen, which is all that the encoder knows of the words `asked` for.

    `grade` is *sure* where there are `moments`, *unsure* where something may be it, *absent* where
    nothing is, *unknown* where the encoder cannot tell. `closest` are the likest moments, best
    first, whatever the grade. `seconds` is how long it is seen in all.
    """

    asked: str
    subject: str
    grade: Grade
    moments: tuple[Evidence, ...]
    closest: tuple[Evidence, ...]
    seconds: float

    @property
    def said(self) -> str:
        """The subject as an answer names it: with what of the question it leaves out."""
        if self.subject == self.asked:
            return self.subject
        return f"{self.subject} (all that I can tell of “{self.asked}”)"


def can_deny(forms: Sequence[str], subject: str, view: MemoryView, *, on: float) -> bool:
    """Return whether not finding a thing tells that it is not there.

    That no man with a dog is there cannot be told by one who does not know men: the noun has to be
    known. What was surely seen at another time would have been seen at this one too.
    """
    if any(view.encoder.knows(form) for form in forms[1:] or forms):
        return True
    keys = np.stack([entry.key for entry in view.entries()])
    return float(view.encoder.presence(subject, keys).max()) >= on


def look_for(
    asked: str,
    view: MemoryView,
    entries: Sequence[MemoryEntry],
    *,
    config: MomentConfig,
    absent_below: float,
) -> Sighting:
    """Return where what was `asked` for is seen among `entries`, which are by source and time.

    Where the encoder can tell nothing of the words, fewer of them are looked for.
    """
    keys = np.stack([entry.key for entry in entries])  # [N, D]
    forms = narrower(asked)
    for subject in forms:
        presence = view.encoder.presence(subject, keys)  # [N]
        if presence.any() or view.encoder.knows(subject):
            break
    else:
        subject = asked
    query = view.encoder.encode_text([subject])[0]
    closest = _closest(query, view, entries, presence, gap_s=config.gap_s)
    scores = keys @ query  # [N]
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
    grade: Grade = "unsure"
    if named:
        grade = "sure"
    elif float(presence.max()) < absent_below:
        sees_it = can_deny(forms, subject, view, on=config.on)
        grade = "absent" if sees_it else "unknown"
    return Sighting(asked, subject, grade, named, closest, seconds)


def _closest(
    query: Vector,
    view: MemoryView,
    entries: Sequence[MemoryEntry],
    presence: Vector,
    *,
    gap_s: float,
) -> tuple[Evidence, ...]:
    """Return the moments of `entries` likest to `query [D]`, best first."""
    places = {entry.entry_id: place for place, entry in enumerate(entries)}
    hits = [
        (places[entry.entry_id], score)
        for entry, score in view.search(query, k=_CLOSEST * _HITS)
        if entry.entry_id in places
    ]
    if not hits:
        scores = np.stack([entry.key for entry in entries]) @ query  # [N]
        hits = [(int(place), float(scores[place])) for place in np.argsort(-scores)]
    best: list[Evidence] = []
    taken: set[int] = set()
    for place, score in hits:
        if place in taken or len(best) == _CLOSEST:
            continue
        entry, run = entries[place], _run(entries, place, gap_s=gap_s)
        taken.update(run)
        best.append(
            Evidence(
                entry_id=entry.entry_id,
                source_id=entry.source_id,
                start_s=entries[run[0]].start_s,
                end_s=entries[run[-1]].end_s,
                score=score,
                peak_s=entry.mean_s,
                presence=float(presence[place]),
                label=view.encoder.describe(entry.key, k=1)[0][0],
            )
        )
    return tuple(best)


def _run(entries: Sequence[MemoryEntry], place: int, *, gap_s: float) -> range:
    """Return the places around `place` whose entries show the same without a hole in between."""
    peak = entries[place]

    def goes_on(earlier: int, later: int, new: int) -> bool:
        one, two = entries[earlier], entries[later]
        return (
            one.source_id == two.source_id
            and two.start_s - one.end_s <= gap_s
            and float(entries[new].key @ peak.key) >= _SAME
        )

    first = last = place
    while first > 0 and goes_on(first - 1, first, first - 1):
        first -= 1
    while last + 1 < len(entries) and goes_on(last, last + 1, last + 1):
        last += 1
    return range(first, last + 1)
