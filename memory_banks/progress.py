"""How far each source was watched, and where nothing could be seen."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

from memory_banks.entries import Row
from memory_banks.state import SourceRecord
from streammem.errors import StoreMismatch, UsageError, one_of
from streammem.records import Frame, Gap, SourceInfo

STEPS_OF_A_HOLE = 3.0
SEVERAL = "several, the first: "


class Progress:
    """The sources of a memory with their gaps."""

    def __init__(
        self,
        *,
        sources: Iterable[SourceRecord],
        gaps: Iterable[Gap],
        max_hole_s: float,
        source_limit: int,
        gap_limit: int,
    ) -> None:
        self.sources = {source.source_id: source for source in sources}
        self._max_hole_s = max_hole_s
        self._source_limit = source_limit
        self._gap_limit = gap_limit
        self._gaps: dict[str, list[tuple[float, float, str]]] = {}
        self.gap_count = 0
        for gap in gaps:
            self.add_gap(gap)

    def begin(self, info: SourceInfo, *, fingerprint: str, sampling_fps: float) -> SourceRecord:
        """Return the record of a source, made now or found with the same fingerprint.

        A `sampling_fps` of 0 stands for every frame.
        """
        if not 0.0 <= sampling_fps < float("inf"):
            raise UsageError(f"sampling must be 0 or more frames a second, got {sampling_fps!r}")
        known = self.sources.get(info.source_id)
        if known is None:
            if len(self.sources) >= self._source_limit:
                raise UsageError(
                    f"this memory holds {len(self.sources)} sources and its budget has room for no "
                    "more; forget some, raise the budget, or use another memory file"
                )
            number = 1 + max((source.number for source in self.sources.values()), default=0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            known = SourceRecord(
                number, info.source_id, info.uri, info, fingerprint, sampling_fps, now
            )
            self.sources[info.source_id] = known
        elif known.fingerprint != fingerprint:
            raise StoreMismatch(
                f"source {info.source_id!r} of this memory is {known.uri} with fingerprint "
                f"{known.fingerprint}; {info.uri} has {fingerprint} and is not the same. "
                "Give the new one another source id, or forget the old one first"
            )
        else:
            known.info, known.uri, known.sampling_fps = info, info.uri, sampling_fps
        return known

    def find(self, source_id: str) -> SourceRecord:
        """Return a source that was begun."""
        if source_id not in self.sources:
            raise one_of("source", source_id, self.sources or ["(the memory is empty)"])
        return self.sources[source_id]

    def check(self, frame: Frame) -> SourceRecord:
        """Return the source of a frame that may come next, or say why it may not."""
        source = self.find(frame.source_id)
        if not abs(frame.time_s) < float("inf"):
            raise UsageError(f"a frame of {source.source_id!r} has the time {frame.time_s}")
        if source.last_s is not None and frame.time_s < source.last_s:
            raise UsageError(
                f"a frame of {source.source_id!r} at {frame.time_s} s comes after one at "
                f"{source.last_s} s; times must not fall"
            )
        return source

    def saw(self, source: SourceRecord, time_s: float) -> None:
        """Note that a frame was taken in."""
        source.first_s = time_s if source.first_s is None else source.first_s
        source.last_s = time_s
        source.frames += 1
        source.finished = False

    def forget(self, source_id: str) -> None:
        """Drop a source with its gaps."""
        del self.sources[source_id]
        self.gap_count -= len(self._gaps.pop(source_id, ()))

    def add_gap(self, gap: Gap) -> bool:
        """Note a span of which nothing could be read; return whether it is new.

        More than the limit of them are never kept: the two that are nearest in time become one.
        """
        known = self._gaps.setdefault(self.find(gap.source_id).source_id, [])
        span = (gap.start_s, gap.end_s, gap.reason)
        if span in known:
            return False
        insort(known, span)
        self.gap_count += 1
        if self.gap_count > self._gap_limit:
            self._join_nearest_gaps()
        return True

    def gaps(self, source_id: str | None = None) -> list[Gap]:
        """Return the gaps of one source or of all, by source and time."""
        wanted = self.sources if source_id is None else [self.find(source_id).source_id]
        return [Gap(one, *span) for one in wanted for span in self._gaps.get(one, ())]

    def _join_nearest_gaps(self) -> None:
        pairs = [
            (right[0] - left[1], source_id, place)
            for source_id, gaps in self._gaps.items()
            for place, (left, right) in enumerate(pairwise(gaps))
        ]
        if not pairs:
            return
        _, source_id, place = min(pairs)
        left, right = self._gaps[source_id][place : place + 2]
        both = (left[0], max(left[1], right[1]), SEVERAL + left[2].removeprefix(SEVERAL))
        self._gaps[source_id][place : place + 2] = [both]
        self.gap_count -= 1

    def may_merge(self, left: Row, right: Row) -> bool:
        """Return whether two neighbours follow each other with neither a hole nor a gap between."""
        fps = self.sources[left.source_id].sampling_fps
        longest_s = max(self._max_hole_s, STEPS_OF_A_HOLE / fps if fps else 0.0)
        if right.start_s - max(left.end_s, left.seen_s) > longest_s:
            return False
        gaps = self._gaps.get(left.source_id)
        if not gaps:
            return True
        before_right = bisect_left(gaps, (right.start_s,))
        return before_right == 0 or gaps[before_right - 1][1] <= left.end_s
