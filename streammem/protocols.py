"""What each part promises the others. Anything with these methods fits; nothing inherits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streammem.records import (
    Answer,
    Features,
    Frame,
    Gap,
    MemoryEntry,
    SourceInfo,
    Vector,
)


class FrameSource(Protocol):
    """A file, folder, camera or list of pictures.

    Iterating yields frames with times that never fall. `gaps` fills as spans turn out unreadable.
    `close` may be called from another thread and ends the iteration.
    """

    info: SourceInfo
    gaps: list[Gap]

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


class Encoder(Protocol):
    """Frames and words in one space: `dot(key, encode_text(words))` ranks frames for the words.

    `name` is the text form it was chosen by; `revision` identifies the exact weights and settings,
    and a memory made with one revision is not opened with another.
    """

    name: str
    revision: str
    dim: int
    visual_dim: int

    def encode(self, frames: Sequence[Frame]) -> list[Features]:
        """Return one `Features(key [dim], visual [visual_dim])` for each frame, in order."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Vector:
        """Return `[len(texts), dim]`, each row of unit length."""
        ...

    def presence(self, text: str, keys: Vector) -> Vector:
        """Return for each of `keys [N, dim]` the probability in [0, 1] that `text` is seen."""
        ...

    def knows(self, text: str) -> bool:
        """Return whether the encoder can tell the presence of `text` from its absence at all."""
        ...

    def describe(self, key: Vector, *, k: int = 3) -> list[tuple[str, float]]:
        """Return the `k` most probable names for what `key [dim]` shows, with probabilities."""
        ...


class MemoryView(Protocol):
    """What an answerer may see of a memory: nothing of another source or after the asked moment.

    `at_s` is that moment, None for all that was seen. `seen_s` maps each source to the span
    `(first, last)` of it that was watched.
    """

    @property
    def encoder(self) -> Encoder: ...

    @property
    def at_s(self) -> float | None: ...

    @property
    def seen_s(self) -> Mapping[str, tuple[float, float]]: ...

    def entries(self) -> Sequence[MemoryEntry]:
        """Return every visible entry of every tier, by source and then by time."""
        ...

    def search(self, query: Vector, *, k: int) -> list[tuple[MemoryEntry, float]]:
        """Return the `k` entries nearest to `query [dim]` with their cosines, best first."""
        ...


class Answerer(Protocol):
    """Turns a question and what a memory holds into an answer with its moments."""

    name: str

    def answer(self, question: str, view: MemoryView) -> Answer: ...


State = TypeVar("State")


class WorldModel(Protocol[State]):
    """A world that answers each action with the next frame: a simulator, a model, or a script.

    Its frames carry pose and depth, and the action that led to them. A state is opaque, is never
    changed, and holds all that the next frame depends on besides the action, its seed included:
    from equal states equal actions lead to equal frames.
    """

    @property
    def name(self) -> str: ...

    @property
    def actions(self) -> Sequence[str]: ...

    @property
    def fps(self) -> float: ...

    def start(self, seed: int) -> tuple[Frame, State]:
        """Return the first frame of the world of `seed`, and the state that goes with it."""
        ...

    def step(self, state: State, action: str) -> tuple[Frame, State]:
        """Return the frame one `action` of `actions` later, and the state that goes with it."""
        ...

    def save(self, state: State) -> Mapping[str, NDArray[np.generic]]:
        """Return `state` as named arrays, none of them pickled."""
        ...

    def load(self, saved: Mapping[str, NDArray[np.generic]]) -> State:
        """Return the state that `save` gave; raises `UsageError` where it is of another world."""
        ...
