"""Which view can be spared: what each shows that no other does, counted as views come and go."""

import numpy as np

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.records import Floats, Mask, Slots
from memory_banks.pose_bank.settings import SAMPLES, PoseBankConfig
from memory_banks.pose_bank.sight import sees, transform

_SLACK_M = np.float32(1e-2)


def count_in(columns: Columns, slot: int, config: PoseBankConfig) -> Slots:
    """Count what the view in `slot` sees, and what sees it; return the slots counted for."""
    columns.others[slot] = seen_by(columns, slot, config)[1].sum(axis=0)
    owners, seen = _seen_from(columns, slot, config)
    columns.others[owners] += seen
    return owners


def count_out(columns: Columns, slot: int, config: PoseBankConfig) -> Slots:
    """Take back what `count_in` counted for others; return their slots."""
    owners, seen = _seen_from(columns, slot, config)
    columns.others[owners] -= seen
    return owners


def spare(columns: Columns) -> int:
    """Return the slot whose loss uncovers least; pinned views stay.

    That is the one with fewest samples that no other view sees; of these the one with the least
    mean of 1 / (1 + others), and then the oldest.
    """
    others = columns.others[: columns.count]
    loss = (others == 0).sum(axis=1) + (1.0 / (1.0 + others)).mean(axis=1) / 2
    loss[columns.pinned[: columns.count]] = np.inf
    least = np.flatnonzero(loss == loss.min())
    return int(least[_newest_last(columns, least)[0]])


def cover_of(columns: Columns, slot: int, config: PoseBankConfig) -> int | None:
    """Return the slot that sees most samples of `slot`, the newest of equals, None if none does."""
    viewers, seen = seen_by(columns, slot, config)
    shares = seen.sum(axis=1)
    if not shares.any():
        return None
    most = viewers[shares == shares.max()]
    return int(most[_newest_last(columns, most)[-1]])


def seen_by(columns: Columns, slot: int, config: PoseBankConfig) -> tuple[Slots, Mask]:
    """Return the other views `[V]` that may see samples of `slot`, and which: `[V, SAMPLES]`.

    A view without depth, which sees through walls, does not stand for one with depth.
    """
    n = columns.count
    away = (columns.place[slot] - columns.place[:n]).astype(np.float32)
    able = _in_reach(
        away + columns.middle[slot],
        columns.matrix[:n, 2],
        reach_m=columns.reach_m[:n],
        radius_m=columns.sample_m[slot],
    )
    able &= columns.has_depth[:n] | ~columns.has_depth[slot]
    able[slot] = False
    viewers = np.flatnonzero(able)
    offsets = columns.samples[slot] + away[viewers][:, None]  # [V, SAMPLES, 3]
    seen = transform(columns.matrix[viewers][:, None], np.moveaxis(offsets, 2, 0))
    return viewers, sees(columns, viewers, seen, config)


def _seen_from(columns: Columns, slot: int, config: PoseBankConfig) -> tuple[Slots, Mask]:
    """Return the other views `[V]` of which `slot` may see samples, and which: `[V, SAMPLES]`."""
    n = columns.count
    away = (columns.place[:n] - columns.place[slot]).astype(np.float32)
    able = _in_reach(
        away + columns.middle[:n],
        columns.matrix[slot, 2],
        reach_m=columns.reach_m[slot],
        radius_m=columns.sample_m[:n],
    )
    able &= columns.has_depth[slot] | ~columns.has_depth[:n]
    able[slot] = False
    owners = np.flatnonzero(able)
    offsets = columns.samples[owners] + away[owners][:, None]
    seen = transform(columns.matrix[slot], np.moveaxis(offsets, 2, 0)).reshape(3, 1, -1)
    return owners, sees(columns, np.array([slot]), seen, config).reshape(-1, SAMPLES)


def _in_reach(
    middle: Floats, forward: Floats, *, reach_m: Floats | np.float32, radius_m: Floats | np.float32
) -> Mask:
    """Return whether a view may see into a ball about `middle [N, 3]`, an offset from its place."""
    x, y, z = middle.T
    right, down, ahead = forward.T
    facing = x * right + y * down + z * ahead >= -radius_m - _SLACK_M
    return np.asarray(facing & (x * x + y * y + z * z <= (reach_m + radius_m + _SLACK_M) ** 2))


def _newest_last(columns: Columns, slots: Slots) -> Slots:
    return np.lexsort((columns.view_id[slots], columns.time_s[slots]))
