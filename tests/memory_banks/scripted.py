"""What happens to a memory, drawn at random once, to be done to several memories alike."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from memory_banks.tiered import Memory
from streammem.records import Eviction, Features, Frame, Gap
from tests.memory_banks.streams import DIM, VISUAL_DIM, contents, unit

MOST_PINNED = 3


@dataclass(frozen=True)
class Happening:
    """A frame that comes, and the edit after it, of the entry at a share `place` of them all."""

    frame: Frame
    features: Features
    query: np.ndarray
    edit: str
    place: float

    def entry_ids(self, memory: Memory) -> list[int]:
        """Return the id of that entry, none where nothing is held."""
        held = [entry.entry_id for entry in memory.entries()]
        return held[int(self.place * len(held)) :][:1]


def happenings(count: int, *, seed: int, edits: bool = True) -> Iterator[Happening]:
    """Yield `count` frames of two sources with holes, some with tokens, and what follows them."""
    rng = np.random.default_rng(seed)
    at_s = {"a": 0.0, "b": 5.0}
    scene = {source: (unit(rng, DIM), unit(rng, VISUAL_DIM)) for source in at_s}
    kinds = ["", "recall", "pin", "unpin", "forget", "gap"]
    shares = [0.68, 0.2, 0.04, 0.03, 0.03, 0.02] if edits else [0.7, 0.3, 0.0, 0.0, 0.0, 0.0]
    for index in range(count):
        source = str(rng.choice(["a", "b"], p=[0.7, 0.3]))
        at_s[source] += float(rng.choice([0.0, 0.5, 1.0, 60.0], p=[0.1, 0.3, 0.57, 0.03]))
        if rng.random() < 0.2:
            scene[source] = unit(rng, DIM), unit(rng, VISUAL_DIM)
        near = [base + 0.1 * rng.normal(size=len(base)) for base in scene[source]]
        key, visual = ((one / np.linalg.norm(one)).astype(np.float32) for one in near)
        tokens = rng.normal(size=(3, 4)).astype(np.float16) if rng.random() < 0.8 else None
        rgb = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        yield Happening(
            Frame(source, index, at_s[source], rgb),
            Features(key, visual, tokens),
            query=unit(rng, DIM),
            edit=str(rng.choice(kinds, p=shares)),
            place=float(rng.random()),
        )


@dataclass
class Log:
    """What a memory said while things happened to it."""

    gone: list[Eviction] = field(default_factory=list)
    recalled: list[Any] = field(default_factory=list)

    def let_happen(self, memory: Memory, what: Happening) -> None:
        """Push a frame and do what follows it."""
        self.gone += memory.push(what.frame, what.features)
        match what.edit:
            case "recall":
                found = memory.recall(what.query, k=4, at_s=what.frame.time_s)
                self.recalled.append(
                    [(entry.entry_id, entry.count, score) for entry, score in found]
                )
            case "pin" if sum(entry.pinned for entry in memory.entries()) < MOST_PINNED:
                memory.pin(what.entry_ids(memory))
            case "unpin":
                pinned = [entry.entry_id for entry in memory.entries() if entry.pinned]
                self.gone += memory.unpin(pinned[:1])
            case "forget":
                went = memory.forget(entry_ids=what.entry_ids(memory))
                self.gone += [Eviction(one.entry_id, "deleted") for one in went]
            case "gap":
                at_s = what.frame.time_s
                self.gone += memory.add_gap(Gap(what.frame.source_id, at_s, at_s + 0.01, "lost"))


def everything(memory: Memory) -> list[Any]:
    """Return all that is the same in a memory that was closed and opened on the way."""
    entries = memory.entries()
    stats = memory.stats()
    return [
        contents(memory),
        [
            (entry.pinned, None if entry.tokens is None else entry.tokens.tolist())
            for entry in entries
        ],
        [(stats.frames_seen, stats.frames_held, stats.entries, stats.tier_bytes["long_term"])],
        memory.evictions(),
        stats.evictions,
        memory.gaps(),
        [(one.frames_seen, one.sensory, one.working, one.long_term) for one in memory.history()],
        [(one.source_id, one.last_s, one.frames) for one in memory.sources()],
    ]
