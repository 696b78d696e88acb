"""What a memory is made with: its settings, and the encoder whose features it holds."""

from dataclasses import dataclass

from streammem.errors import UsageError
from streammem.protocols import Encoder


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Settings of a memory.

    `budget_mb` (1 MB = 1,000,000 bytes) bounds everything together: the newest pictures, all
    features in RAM, and the same with their thumbnails in the file. `sensory_frames` of the newest
    frames are kept whole as far as an eighth of the budget reaches; they and the `working_frames`
    after them are kept one by one as far as a third of the rest reaches; what is left is long-term
    memory. Thumbnails have a longest side of `thumbnail_px`. Frames further apart than
    `max_hole_s`, or than three steps of sampling where that is longer, are never merged. The last
    `eviction_log` evictions are kept. `seed` is recorded with whatever the memory is exported to;
    nothing here draws at random.
    """

    budget_mb: float = 64.0
    sensory_frames: int = 16
    working_frames: int = 256
    thumbnail_px: int = 160
    max_hole_s: float = 10.0
    eviction_log: int = 1000
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
