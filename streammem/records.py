"""The records that travel between the parts: frozen, CPU numpy, units in the names.

Times are seconds of the source as float64. Pictures are RGB uint8 `[H, W, 3]`. Keys have unit
length, so that a dot product is a cosine.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""RGB picture, uint8 `[H, W, 3]`."""

Vector: TypeAlias = NDArray[np.float32]
"""float32 array; its shape stands where it is used."""

Tier: TypeAlias = Literal["sensory", "working", "long_term"]


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A camera's place: `camera_to_world [4, 4]`, OpenCV axes (x right, y down, z forward), metres.

    `intrinsics [3, 3]` are in pixels of the frame the pose belongs to.
    """

    camera_to_world: NDArray[np.float64]
    intrinsics: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a stream, at its true time.

    `index` counts the frames of the source where that is known, else the frames yielded.
    `depth_m` is float32 `[H, W]`, NaN where unknown.
    """

    source_id: str
    index: int
    time_s: float
    rgb: Image
    pose: Pose | None = None
    depth_m: NDArray[np.float32] | None = None
    action: str | None = None

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(
                f"rgb must be uint8 [H, W, 3], got {self.rgb.dtype} {list(self.rgb.shape)}"
            )


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of a source of which nothing could be read, and why."""

    source_id: str
    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first frame; None where the source does not say.

    `width` and `height` are those of the picture as shown, after rotation.
    """

    source_id: str
    uri: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration_s: float | None = None
    start_s: float = 0.0
    frame_count: int | None = None
    codec: str | None = None
    rotation_deg: int = 0
    live: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What an encoder makes of one frame.

    `key [D]` is searched by words, `visual [V]` by pictures; both have unit length.
    `tokens [M, C]` are the parts of a picture for models that read them, or None.
    """

    key: Vector
    visual: Vector
    tokens: NDArray[np.float16] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MemoryEntry:
    """What a bank keeps of `start_s..end_s`: the weighted mean of `count` frames.

    `mean_s` is the mean time of those frames. `usage` counts how often a recall returned the
    entry. `merged_from` names the entries it was made of, empty for a frame as it came. A `pinned`
    entry is neither merged nor let go.
    `thumbnail` is a JPEG of one of its frames.
    """

    entry_id: int
    source_id: str
    start_s: float
    end_s: float
    mean_s: float
    count: int
    key: Vector
    visual: Vector
    tier: Tier = "sensory"
    usage: float = 0.0
    merged_from: tuple[int, ...] = ()
    pinned: bool = False
    thumbnail: bytes | None = field(default=None, repr=False)
    tokens: NDArray[np.float16] | None = None
    pose: Pose | None = None


@dataclass(frozen=True, slots=True)
class Eviction:
    """Why an entry left its bank, and which entry took it in, where one did."""

    entry_id: int
    reason: Literal["capacity", "merged", "expired", "deleted"]
    into: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A moment that supports an answer: `start_s..end_s`, strongest at `peak_s`.

    `score` is the cosine of query and key in [-1, 1]; `presence` is the probability in [0, 1]
    that what was asked for is seen at the peak. `label` says in words what was recognised.
    """

    entry_id: int
    source_id: str
    start_s: float
    end_s: float
    score: float
    peak_s: float
    presence: float = 0.0
    label: str = ""
    thumbnail: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with the moments that prove it, and what made it.

    `abstained` is true where the memory holds nothing sure enough; the evidence then lists the
    closest moments. `seconds` is the time the answer took.
    """

    text: str
    evidence: tuple[Evidence, ...]
    abstained: bool
    model: str
    seed: int
    seconds: float
    kind: str = ""
