"""What one question may use of a memory."""

import math
from collections.abc import Iterator
from itertools import groupby

from streammem.answerers.moments import sampling_step_s
from streammem.answerers.phrases import listed, span
from streammem.answerers.questions import Question
from streammem.answerers.shots import Shot, cut_shots
from streammem.names import format_time
from streammem.protocols import MemoryView
from streammem.records import MemoryEntry


class Scene:
    """What one question may use: the view, cut to the span that the question names.

    A span between two frames shows the one before it.
    """

    def __init__(self, view: MemoryView, asked: Question) -> None:
        self.view = view
        self.seen_s = view.seen_s
        self.several = len(self.seen_s) > 1
        self._asked = asked
        kept = view.entries()
        self.step_s = sampling_step_s(kept)
        last_s = max((last for _, last in self.seen_s.values()), default=0.0)
        now_s = last_s if view.at_s is None else view.at_s
        start_s, end_s = (
            limit if limit >= 0 else max(0.0, now_s + limit)
            for limit in (asked.start_s, asked.end_s)
        )
        self._limits = (start_s, end_s)
        inside = [one for one in kept if one.end_s >= start_s and one.start_s <= end_s]
        self.entries: list[MemoryEntry] = inside or [
            one for one in kept if one.start_s <= end_s and one.end_s + self.step_s > start_s
        ]

    def span(self) -> str:
        """Return the span that was looked at, in words."""
        first_s = min(entry.start_s for entry in self.entries)
        last_s = max(entry.end_s for entry in self.entries)
        where = f" of {len(self.seen_s)} sources" if self.several else ""
        return f"{span(first_s, last_s)}{where}"

    def seconds(self) -> float:
        """Return how long the sources were watched within the span, their last frames included."""
        ends: dict[str, tuple[float, float]] = {}
        for entry in self.entries:
            first, _ = ends.get(entry.source_id, (entry.start_s, 0.0))
            ends[entry.source_id] = (first, entry.end_s)
        return sum(last - first + self.step_s for first, last in ends.values())

    def shots_by_source(self, *, alike: float) -> Iterator[list[Shot]]:
        """Yield the shots of each source, without their names."""
        for _, entries in groupby(self.entries, key=lambda entry: entry.source_id):
            yield cut_shots(list(entries), alike=alike)

    def source_of(self, shot: Shot) -> str:
        """Return the words that say where a shot is from, "" where there is one source only."""
        return f" of {shot.source_id}" if self.several else ""

    def nothing_seen(self) -> str:
        """Return why there is nothing to answer from."""
        if not self.seen_s:
            until = self.view.at_s
            return "nothing was seen" + ("" if until is None else f" before {format_time(until)}")
        start_s, end_s = self._limits
        open_ended = math.isinf(end_s)
        asked = f"after {format_time(start_s)}" if open_ended else f"in {span(start_s, end_s)}"
        watched = listed([span(first, last) for first, last in self.seen_s.values()])
        return f"nothing was seen {asked}; I watched {watched}"
