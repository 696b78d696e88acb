"""Stand-ins for a memory and its encoder whose every number a test can tell by itself.

The words an encoder knows are the axes of its space: a frame is a mixture of them, and the
presence of a word is its share of the frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streammem.protocols import Encoder
from streammem.records import Features, Frame, MemoryEntry, Vector

WORDS = ("cat", "dog", "rocket", "motorcycle", "cup of coffee", "coins", "nothing")


class FakeEncoder:
    """Knows `words` and no others; a plural `s` and what is said besides a word do not matter."""

    def __init__(self, words: Sequence[str] = WORDS) -> None:
        self.words = tuple(words)
        self.name = "fake"
        self.revision = "1"
        self.dim = self.visual_dim = len(self.words)

    def encode(self, frames: Sequence[Frame]) -> list[Features]:
        """Return for a frame the word whose number its first pixel's red is."""
        return [
            Features(self.key_of(word), self.key_of(word))
            for word in (self.words[int(frame.rgb[0, 0, 0])] for frame in frames)
        ]

    def encode_text(self, texts: Sequence[str]) -> Vector:
        return np.stack([self.key_of(text) for text in texts])

    def presence(self, text: str, keys: Vector) -> Vector:
        place = self._place(text)
        if place is None:
            return np.zeros(len(keys), np.float32)
        shares: Vector = np.square(keys[:, place]) / np.square(keys).sum(axis=1)
        return shares

    def knows(self, text: str) -> bool:
        return self._place(text) is not None

    def describe(self, key: Vector, *, k: int = 3) -> list[tuple[str, float]]:
        shares = np.square(key) / np.square(key).sum()
        return [(self.words[i], float(shares[i])) for i in np.argsort(-shares, kind="stable")[:k]]

    def key_of(self, shown: str | Mapping[str, float]) -> Vector:
        """Return the key of a word, or of words and their shares; the last word has the rest.

        What is no word is like all of them.
        """
        shares = {shown: 1.0} if isinstance(shown, str) else shown
        squares = np.zeros(self.dim)
        squares[-1] = max(0.0, 1 - sum(shares.values()))
        for word, share in shares.items():
            place = self._place(word)
            if place is None:
                squares += share / self.dim
            else:
                squares[place] += share
        key: Vector = np.sqrt(squares / squares.sum()).astype(np.float32)
        return key

    def _place(self, text: str) -> int | None:
        return next(
            (place for place, word in enumerate(self.words) if text in (word, f"{word}s")), None
        )


@dataclass(frozen=True)
class ListView:
    """A view of `kept`, by source and time; nothing of it is after `at_s`."""

    kept: tuple[MemoryEntry, ...]
    encoder: Encoder
    at_s: float | None = None

    @property
    def seen_s(self) -> Mapping[str, tuple[float, float]]:
        """The first and last moment of each source."""
        spans: dict[str, tuple[float, float]] = {}
        for entry in self.entries():
            first, last = spans.get(entry.source_id, (entry.start_s, entry.end_s))
            spans[entry.source_id] = (min(first, entry.start_s), max(last, entry.end_s))
        return spans

    def entries(self) -> Sequence[MemoryEntry]:
        """Return what ended by `at_s`."""
        return [entry for entry in self.kept if self.at_s is None or entry.end_s <= self.at_s]

    def search(self, query: Vector, *, k: int) -> list[tuple[MemoryEntry, float]]:
        """Return the nearest, the earliest first among equals."""
        scored = [(entry, float(entry.key @ query)) for entry in self.entries()]
        return sorted(scored, key=lambda item: -item[1])[:k]


def entry(
    number: int,
    shown: str | Mapping[str, float],
    *,
    encoder: FakeEncoder,
    start_s: float | None = None,
    end_s: float | None = None,
    source_id: str = "stream",
    count: int = 1,
) -> MemoryEntry:
    """Return the entry `number` of what is shown, at its number's second where no time is given."""
    first = float(number) if start_s is None else start_s
    last = first if end_s is None else end_s
    key = encoder.key_of(shown)
    return MemoryEntry(
        number, source_id, first, last, (first + last) / 2, count=count, key=key, visual=key
    )


def stream(
    *shown: tuple[str | Mapping[str, float], int],
    encoder: FakeEncoder | None = None,
    at_s: float | None = None,
    source_id: str = "stream",
    first_number: int = 0,
) -> ListView:
    """Return the view of a stream, a frame a second: what is shown and for how many frames."""
    encoder = encoder or FakeEncoder()
    frames = [what for what, count in shown for _ in range(count)]
    kept = tuple(
        entry(first_number + second, what, encoder=encoder, start_s=second, source_id=source_id)
        for second, what in enumerate(frames)
    )
    return ListView(kept, encoder, at_s)
