"""Settings of a pose bank, and what a view in it takes."""

from dataclasses import dataclass

from streammem.errors import UsageError

MB = 1_000_000
SAMPLES = 16
"""Points of its surface by which a view is compared with others when room is made."""

ROW_RAM_BYTES = 640
"""RAM that a view takes beside its depth: its pose, its samples, and its place by id."""

ROW_FILE_BYTES = 768
"""File bytes that a view takes beside its depth: its rows, and what their pages waste."""

FILE_BYTES, EVICTION_BYTES = 64_000, 160
LEAST_VIEWS = 8


@dataclass(frozen=True, slots=True)
class PoseBankConfig:
    """Settings of a pose bank.

    `budget_mb` (1 MB = 1,000,000 bytes) bounds views in RAM and file together. The depth of a view
    is remembered on a grid of `depth_px` to a side; a view without depth is taken to see as far as
    `range_m`, with nothing in its way. A point is hidden from a view where it lies behind the depth
    remembered there by more than `relative_tolerance` of it and `absolute_tolerance_m`. Coverage is
    judged by about `points` points; being newest counts as much as `time_weight` of them. The last
    `eviction_log` evictions are kept. Of the other rules, those that draw draw from `seed`;
    `fixed_offset` takes steps of `offset_s`, and `worldmem` a ball of `ball_m`.
    """

    budget_mb: float = 64.0
    depth_px: int = 32
    range_m: float = 8.0
    relative_tolerance: float = 0.05
    absolute_tolerance_m: float = 0.05
    points: int = 400
    time_weight: float = 0.003
    eviction_log: int = 1000
    seed: int = 0
    offset_s: float = 4.0
    ball_m: float = 30.0

    def __post_init__(self) -> None:
        least: dict[str, float] = {
            "budget_mb": self.least_budget_mb,
            "depth_px": 2,
            "range_m": 1e-3,
            "relative_tolerance": 0.0,
            "absolute_tolerance_m": 0.0,
            "points": 16,
            "time_weight": 0.0,
            "eviction_log": 0,
            "seed": 0,
            "offset_s": 1e-6,
            "ball_m": 1e-3,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if not bound <= value < float("inf"):
                raise UsageError(f"{name} must be a number of at least {bound:g}, got {value!r}")

    @property
    def view_bytes(self) -> int:
        """What one view takes of the budget."""
        return 2 * 2 * self.depth_px**2 + ROW_RAM_BYTES + ROW_FILE_BYTES

    @property
    def fixed_bytes(self) -> int:
        """What a bank takes of the budget before its first view."""
        return FILE_BYTES + EVICTION_BYTES * self.eviction_log

    @property
    def least_budget_mb(self) -> float:
        """The budget in which `LEAST_VIEWS` views find room."""
        return (self.fixed_bytes + (LEAST_VIEWS + 1) * self.view_bytes) / MB

    @property
    def capacity(self) -> int:
        """How many views may stay; one more is there while it is decided which one goes."""
        return int((self.budget_mb * MB - self.fixed_bytes) // self.view_bytes) - 1
