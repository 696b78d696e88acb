"""Settings of a surfel bank, and how its budget is shared."""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.voxels import AXIS_BITS
from streammem.errors import UsageError

MB = 1_000_000
SURFEL_BYTES = 68
"""Numbers of a surfel beside its views."""

VIEW_BYTES = 220
"""Numbers of a view: its pose, its intrinsics, its name, its time and its rank."""

INDEX_BYTES = 16
"""RAM of a surfel's place in the index by voxel."""

VIEWS_SHARE = 1 / 8
FIXED_BYTES = 64_000
"""The tables in the file, and what the pages of its last rows waste."""

LEAST_SURFELS, LEAST_VIEWS = 256, 8


@dataclass(frozen=True, slots=True)
class SurfelBankConfig:
    """Settings of a surfel bank.

    `budget_mb` (1 MB = 1,000,000 bytes) bounds surfels and views in RAM and file together. Points
    in one voxel of `voxel_m` join where the cosine of their normals is at least `same_normal`. A
    surfel names at most `surfel_views` of the views that saw it.

    Depth is taken to be exact to one voxel and `depth_noise` of itself. Weight grows by the
    confidence of each sighting, up to `weight_limit`; being seen through costs `through_cost`, and
    a surfel without weight goes. It is settled once it was seen over `settle_s`. A colour that is
    off by `colour_change` (of 255) from all that is seen around it is taken to have changed.
    What is beyond `far_m` is not remembered.
    """

    budget_mb: float = 16.0
    voxel_m: float = 0.1
    same_normal: float = 0.6
    surfel_views: int = 8
    depth_noise: float = 0.02
    weight_limit: float = 4.0
    through_cost: float = 2.0
    settle_s: float = 0.5
    colour_change: float = 24.0
    far_m: float = 100.0

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "voxel_m": (1e-4, 1e3),
            "same_normal": (0.0, 1.0),
            "surfel_views": (3, 64),
            "depth_noise": (0.0, 1.0),
            "weight_limit": (1.0, 1e6),
            "through_cost": (1e-3, 1e6),
            "settle_s": (0.0, 1e9),
            "colour_change": (0.0, 255.0),
            "far_m": (1e-2, 1e5 * self.voxel_m),
            "budget_mb": (self._least_budget_mb, 1e6),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name} must be {least:g} to {most:g}, got {value!r}")

    @property
    def surfel_bytes(self) -> int:
        """What a surfel takes of the budget, in RAM and in the file."""
        return 2 * (SURFEL_BYTES + 4 * self.surfel_views) + INDEX_BYTES

    @property
    def surfels(self) -> int:
        """How many surfels there is room for."""
        room = self.budget_mb * MB - FIXED_BYTES
        return int(room * (1 - VIEWS_SHARE)) // self.surfel_bytes

    @property
    def views(self) -> int:
        """How many views there is room for."""
        return int((self.budget_mb * MB - FIXED_BYTES) * VIEWS_SHARE) // (2 * VIEW_BYTES)

    @property
    def held_bytes(self) -> int:
        """What a full bank takes of the budget."""
        return FIXED_BYTES + self.surfels * self.surfel_bytes + self.views * 2 * VIEW_BYTES

    @property
    def world_m(self) -> float:
        """How far from the origin voxels can be named."""
        return self.voxel_m * (1 << (AXIS_BITS - 1))

    @property
    def _least_budget_mb(self) -> float:
        surfels = LEAST_SURFELS * self.surfel_bytes / (1 - VIEWS_SHARE)
        views = LEAST_VIEWS * 2 * VIEW_BYTES / VIEWS_SHARE
        return (FIXED_BYTES + max(surfels, views) + 1) / MB


def numbers_of(config: SurfelBankConfig) -> NDArray[np.float64]:
    """Return all settings as numbers, in their order."""
    return np.array(astuple(config), dtype=np.float64)


def settings_of(numbers: NDArray[np.float64]) -> SurfelBankConfig:
    """Return the settings of which these are the numbers; raises ValueError where they are none."""
    named = dict(
        zip((field.name for field in fields(SurfelBankConfig)), numbers.tolist(), strict=True)
    )
    return SurfelBankConfig(**{**named, "surfel_views": int(named["surfel_views"])})


def goes_on(
    saved: SurfelBankConfig, given: SurfelBankConfig | None, *, surfels: int, views: int
) -> SurfelBankConfig:
    """Return the settings with which a bank of so many surfels and views goes on.

    Raises `UsageError` where it cannot with those that are given.
    """
    config = given or saved
    for name in ("voxel_m", "surfel_views"):
        kept, allowed = getattr(saved, name), getattr(config, name)
        if kept != allowed:
            raise UsageError(
                f"a surfel bank with {name}={allowed:g} cannot go on from one with {kept:g}; use "
                "the settings it was made with"
            )
    if surfels > config.surfels or views > config.views:
        raise UsageError(
            f"budget_mb={config.budget_mb:g} has room for {config.surfels} surfels and "
            f"{config.views} views, the bank holds {surfels} and {views}; allow it more"
        )
    return config
