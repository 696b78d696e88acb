"""Spans of a source that could not be read, joined where they touch."""

from streammem.records import Gap


class GapLog:
    """Collects losses into `gaps`, a list that others read while it grows.

    Losses less than `joined_s` apart are one gap, so that a badly damaged stream leaves few.
    """

    def __init__(self, source_id: str, gaps: list[Gap], *, joined_s: float = 1.0) -> None:
        self._source_id = source_id
        self._gaps = gaps
        self._joined_s = joined_s
        self._open: Gap | None = None

    def lost(self, start_s: float, end_s: float, reason: str) -> None:
        """Note that `start_s..end_s` is lost."""
        last = self._open
        if last is not None and start_s - last.end_s < self._joined_s:
            start_s, end_s = min(last.start_s, start_s), max(last.end_s, end_s)
            reason = last.reason
        else:
            self.settle()
        self._open = Gap(self._source_id, start_s, end_s, reason)

    def reached(self, time_s: float) -> None:
        """Publish the open gap once the source is so far past it that nothing joins it."""
        if self._open is not None and time_s - self._open.end_s >= self._joined_s:
            self.settle()

    def settle(self) -> None:
        """Publish the open gap."""
        if self._open is not None:
            self._gaps.append(self._open)
            self._open = None
