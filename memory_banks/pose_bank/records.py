"""What goes into a pose bank and what comes out of it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammem.records import Pose

Floats: TypeAlias = NDArray[np.float32]
Slots: TypeAlias = NDArray[np.intp]
Mask: TypeAlias = NDArray[np.bool_]

Rule = Literal[
    "coverage", "worldmem", "context_as_memory", "recency", "random", "fixed_offset", "oracle"
]
"""How views are chosen, each described where it is written."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A view to come: what is remembered of the place it will show?

    `depth_m [h, w]` is its z-depth where the caller knows it, of any size, NaN where unknown.
    """

    pose: Pose
    width_px: int
    height_px: int
    depth_m: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A view as the bank holds it; `depth_m` float32 `[depth_px, depth_px]`, NaN where unknown."""

    view_id: int
    payload_id: int
    pose: Pose
    width_px: int
    height_px: int
    time_s: float
    pinned: bool
    depth_m: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A view that was chosen, `age_s` before the moment that asked.

    `share` of the points that the rule looked for are in the view, `gain` were in none chosen
    before it since the last time that all were covered. Both are NaN where a rule looks at none.
    """

    view_id: int
    payload_id: int
    pose: Pose
    time_s: float
    age_s: float
    share: float
    gain: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known to those who measure: which of `view_ids [N]` see which pixels of the target.

    `seen [N, M]` has a column for each pixel, in any order.
    """

    view_ids: NDArray[np.int64]
    seen: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """How a choice was made.

    Of `held` views that were there at the moment, `considered` could see something of what was
    looked for: `points [P, 3]` in the world, float64, of which `covered` is the share that some
    chosen view sees. `basis` says where the points come from.
    """

    rule: Rule
    basis: str
    held: int
    considered: int
    points: NDArray[np.float64]
    covered: float
    chosen: tuple[Chosen, ...]
