"""From a question to an answer: what of a memory may be seen, and who reads it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from memory_banks.tiered import Memory
from streammem.errors import UsageError
from streammem.protocols import Answerer, Encoder
from streammem.records import Answer, Evidence, MemoryEntry, Vector


class View:
    """What one question may see of a memory: one source or all, nothing after `at_s`."""

    def __init__(
        self,
        memory: Memory,
        encoder: Encoder,
        *,
        at_s: float | None = None,
        source_id: str | None = None,
    ) -> None:
        known = [record.source_id for record in memory.sources()]
        if source_id is not None and source_id not in known:
            raise UsageError(
                f"source {source_id!r} is not in this memory; it holds {', '.join(known) or 'none'}"
            )
        self.encoder = encoder
        self.at_s = at_s
        self._memory = memory
        self._source_id = source_id
        self._entries: list[MemoryEntry] | None = None

    @property
    def seen_s(self) -> Mapping[str, tuple[float, float]]:
        """The first and last moment watched of each visible source."""
        spans: dict[str, tuple[float, float]] = {}
        for entry in self.entries():
            first, last = spans.get(entry.source_id, (entry.start_s, entry.end_s))
            spans[entry.source_id] = (min(first, entry.start_s), max(last, entry.end_s))
        return spans

    def entries(self) -> Sequence[MemoryEntry]:
        """Return every visible entry by source and time, read once for the question."""
        if self._entries is None:
            self._entries = self._memory.entries(at_s=self.at_s, source_id=self._source_id)
        return self._entries

    def search(self, query: Vector, *, k: int) -> list[tuple[MemoryEntry, float]]:
        """Return the `k` entries nearest to `query [dim]`, best first; this counts as usage."""
        return self._memory.recall(query, k=k, at_s=self.at_s, source_id=self._source_id)


def ask(
    memory: Memory,
    encoder: Encoder,
    answerer: Answerer,
    question: str,
    *,
    at_s: float | None = None,
    source_id: str | None = None,
) -> Answer:
    """Answer `question` from what `memory` saw up to `at_s`, None for all of it."""
    view = View(memory, encoder, at_s=at_s, source_id=source_id)
    answer = answerer.answer(question, view)
    return replace(answer, evidence=with_thumbnails(memory, answer.evidence))


def with_thumbnails(memory: Memory, evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the moments with their pictures, which lie in the file until they are wanted."""
    return tuple(
        replace(moment, thumbnail=memory.thumbnail(moment.entry_id)) for moment in evidence
    )
