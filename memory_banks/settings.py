"""What a memory is made with: its settings, and the encoder whose features it holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from streammem.errors import StoreMismatch, UsageError, one_of
from streammem.protocols import Encoder

Strategy: TypeAlias = Literal[
    "surprise",
    "merge",
    "prototype",
    "continuous",
    "uniform",
    "fifo",
    "last_frames",
    "none",
]
"""How long-term memory makes room, each described in its file of `consolidation`."""


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Settings of a memory.

    `budget_mb` (1 MB = 1,000,000 bytes) bounds everything together: the newest pictures, all
    features in RAM, and the same with their thumbnails in the file. `sensory_frames` of the newest
    frames are kept whole as far as an eighth of the budget reaches; they and the `working_frames`
    after them are kept one by one as far as a third of the rest reaches; what is left is long-term
    memory. Thumbnails have a longest side of `thumbnail_px`. Frames further apart than
    `max_hole_s`, or than three steps of sampling where that is longer, are never merged. The last
    `eviction_log` evictions are kept. Long-term memory makes room by `consolidation`;
    `rarity_weight` from 0 to 1 is how far `surprise` lets go of what was seen at other times too.
    `seed` is what anything that is drawn at random is drawn from.
    """

    budget_mb: float = 64.0
    sensory_frames: int = 16
    working_frames: int = 256
    thumbnail_px: int = 160
    max_hole_s: float = 10.0
    eviction_log: int = 1000
    consolidation: Strategy = "surprise"
    rarity_weight: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        least = {
            "budget_mb": 0.0,
            "sensory_frames": 0,
            "working_frames": 0,
            "thumbnail_px": 16,
            "max_hole_s": 0.0,
            "eviction_log": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if not bound <= value < float("inf"):
                raise UsageError(f"{name} must be a number of at least {bound:g}, got {value!r}")
        if not 0.0 <= self.rarity_weight <= 1.0:
            raise UsageError(f"rarity_weight must be from 0 to 1, got {self.rarity_weight!r}")
        if self.consolidation not in get_args(Strategy):
            raise one_of("consolidation", self.consolidation, get_args(Strategy))


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Which encoder made the features: `key [dim]` and `visual [visual_dim]`."""

    name: str
    revision: str
    dim: int
    visual_dim: int

    def __str__(self) -> str:
        return f"{self.name!r} revision {self.revision!r} ({self.dim} + {self.visual_dim} numbers)"


def identity(encoder: Encoder | EncoderIdentity) -> EncoderIdentity:
    """Return what a memory remembers of `encoder`."""
    return EncoderIdentity(encoder.name, encoder.revision, encoder.dim, encoder.visual_dim)


def check_same(path: Path | None, made_with: EncoderIdentity, wanted: EncoderIdentity) -> None:
    """Refuse an encoder other than the one that a memory was made with."""
    if wanted != made_with:
        raise StoreMismatch(
            f"memory {path} was made with encoder {made_with}, and encoder {wanted} was asked "
            "for; choose the encoder it was made with, or ingest into another memory file"
        )
