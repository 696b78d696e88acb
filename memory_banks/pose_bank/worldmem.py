"""The rule of WorldMem (arXiv 2504.12369, algorithm 1): points in a ball, no depth, no walls."""

import numpy as np

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.frustum import Frustum
from memory_banks.pose_bank.picks import Pick
from memory_banks.pose_bank.records import Floats, Mask, Slots
from memory_banks.pose_bank.sight import transform

POINTS, TIME_WEIGHT = 10_000, 0.2
_AT_ONCE = 32


def worldmem(
    columns: Columns,
    held: Slots,
    targets: list[Frustum],
    *,
    k: int,
    now_s: float,
    ball_m: float,
    seed: int,
) -> list[Pick]:
    """Return views by the overlap of what lies in their fields of view, less 0.2 of their age.

    10,000 points are drawn in a ball of `ball_m` about the first target. W are those in view of
    any target. `k` times the view with the largest |W and V_j| / |W| - 0.2 (t - t_j) / t is
    chosen and what it has in view is taken from W, with t counted from the oldest view. Other than
    published, W starts anew once it is empty, where the quotient is 0 / 0, and points are looked at
    in the camera's own axes, which gives pitch its sign.
    """
    if not len(held):
        return []
    points = ball_points(ball_m, seed=seed)
    origin = targets[0].place
    sought = np.zeros(POINTS, np.bool_)
    for target in targets:
        shift = (origin - target.place).astype(np.float32)
        sought |= in_view(target.matrix[None], points + shift)[0]
    seen = np.concatenate(
        [
            in_view(
                columns.matrix[some],
                points + (origin - columns.place[some]).astype(np.float32)[:, None],
            )
            for some in np.split(held, range(_AT_ONCE, len(held), _AT_ONCE))
        ]
    )
    seen &= sought
    age = now_s - columns.time_s[held]
    penalty = TIME_WEIGHT * age / (age.max() or 1.0)
    left, wanted = np.ones(len(held), np.bool_), sought.copy()
    picks = []
    for _ in range(min(k, len(held))):
        if not wanted.any():
            wanted = sought.copy()
        gain = (seen & wanted).sum(axis=1) / max(1, int(wanted.sum()))
        best = int(np.argmax(np.where(left, gain - penalty, -np.inf)))
        share = float(seen[best].sum() / max(1, int(sought.sum())))
        picks.append(Pick(int(held[best]), share, float(gain[best])))
        left[best] = False
        wanted &= ~seen[best]
    return picks


def ball_points(radius_m: float, *, seed: int) -> Floats:
    """Return `[POINTS, 3]` drawn evenly from a ball about 0."""
    draws = np.random.default_rng(seed)
    directions = draws.normal(size=(POINTS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reach = radius_m * draws.random(POINTS) ** (1 / 3)
    return np.asarray(directions * reach[:, None], np.float32)


def in_view(matrix: Floats, offsets: Floats) -> Mask:
    """Return `[V, P]`: which of `offsets [V, P, 3]` or `[P, 3]` are in the fields of view."""
    x, y, z = transform(matrix[:, None], np.moveaxis(offsets, -1, 0))
    return np.asarray((z > 0) & (x >= 0) & (x < z) & (y >= 0) & (y < z))
