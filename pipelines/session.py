"""The façade of the package: one memory file, its encoder, and the verbs people use."""

import math
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from memory_banks.editing import Forgotten
from memory_banks.settings import Strategy
from memory_banks.tiered import Memory, open_memory
from pipelines.answer import ask
from pipelines.forget import forget_moments
from pipelines.ingest import IngestConfig, Progress, ingest
from pipelines.search import search_image, search_text
from streammem.answerers.choose import choose_answerer
from streammem.encoders.choose import choose_encoder
from streammem.errors import UsageError
from streammem.names import parse_time
from streammem.protocols import Encoder
from streammem.records import Answer, Evidence, Image
from streammem.sources.sampling import SamplingConfig


def open(
    path: str | Path | None = None,
    *,
    encoder: str = "embedded",
    budget_mb: float | None = None,
    consolidation: Strategy | None = None,
    read_only: bool = False,
) -> "Session":
    """Open the memory at `path`, made if missing; None keeps it in RAM and loses it at close.

    Without `budget_mb` and `consolidation` the memory goes on with those it was made with; a new
    one gets 64 MB and makes room by `surprise`.
    """
    memory_path = None if path is None else Path(path)
    chosen = choose_encoder(encoder)
    asked = {"budget_mb": budget_mb, "consolidation": consolidation}
    config = {name: given for name, given in asked.items() if given is not None}
    memory = open_memory(
        memory_path, encoder=chosen, config=config, mode="read" if read_only else "write"
    )
    return Session(memory, chosen)


class Session:
    """An open memory with the encoder it was made with."""

    def __init__(self, memory: Memory, encoder: Encoder, *, answerer: str = "embedded") -> None:
        self.memory = memory
        self.encoder = encoder
        self._answerer = choose_answerer(answerer)

    def ingest(
        self,
        uri: str | Path,
        *,
        fps: float = 1.0,
        source_id: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        config: IngestConfig | None = None,
    ) -> None:
        """Watch a file, folder or camera at `fps` pictures a second until it ends."""
        steps = ingest(
            uri,
            self.encoder,
            self.memory,
            sampling=SamplingConfig(fps=fps),
            config=config,
            source_id=source_id,
        )
        for progress in steps:
            if on_progress is not None:
                on_progress(progress)

    def ask(
        self, question: str, *, at: float | str | None = None, source_id: str | None = None
    ) -> Answer:
        """Answer `question`; with `at`, from nothing that came after that moment."""
        return ask(
            self.memory,
            self.encoder,
            self._answerer,
            question,
            at_s=_seconds(at),
            source_id=source_id,
        )

    def search(
        self,
        query: str | Image,
        *,
        k: int = 5,
        at: float | str | None = None,
        source_id: str | None = None,
    ) -> list[Evidence]:
        """Return the `k` moments most like `query`, words or an RGB picture `[H, W, 3]` uint8."""
        at_s = _seconds(at)
        if isinstance(query, str):
            return search_text(
                self.memory, self.encoder, query, k=k, at_s=at_s, source_id=source_id
            )
        return search_image(self.memory, self.encoder, query, k=k, at_s=at_s, source_id=source_id)

    def forget(
        self,
        query: str | Image | None = None,
        *,
        k: int = 5,
        source_id: str | None = None,
        start: float | str | None = None,
        end: float | str | None = None,
        dry: bool = False,
    ) -> list[Forgotten]:
        """Delete the `k` moments that a search for `query` finds, or all from `start` to `end`.

        Thumbnails go too, for good. Returns what went; a `dry` run only returns what would go.
        """
        if query is not None:
            if start is not None or end is not None:
                raise UsageError("forget what a query finds or a span of time, not both at once")
            found = self.search(query, k=k, source_id=source_id)
            return forget_moments(self.memory, found, dry=dry)
        start_s, end_s = _seconds(start), _seconds(end)
        return self.memory.forget(
            source_id=source_id,
            start_s=-math.inf if start_s is None else start_s,
            end_s=math.inf if end_s is None else end_s,
            dry=dry,
        )

    def close(self) -> None:
        """Commit and let go of the file."""
        self.memory.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _seconds(time: float | str | None) -> float | None:
    """Return a time given as a number or as text in seconds."""
    return parse_time(time) if isinstance(time, str) else time
