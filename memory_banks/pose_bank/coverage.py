"""The rule `coverage`: the views that together show most of what a target will show.

Where the target's depth is not given, the surface it will show is found first, by drawing what
nearby views remember of it. Views are then judged by what they see of that surface, so neither
empty space nor what lies behind a wall counts. Costs beside a few passes over columns are bounded:
however many views are held, `CONSIDERED` of them are looked at, and `SHORT_LIST` closely.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.frustum import Frustum
from memory_banks.pose_bank.greedy import choose
from memory_banks.pose_bank.picks import Pick
from memory_banks.pose_bank.records import Floats, Mask, Slots
from memory_banks.pose_bank.settings import PoseBankConfig
from memory_banks.pose_bank.sight import sees_points
from memory_banks.pose_bank.surface import CLOSE_M, on_rays, on_surface, remembered, votes

CONSIDERED = 2048
"""Views that are looked at; where more could see something, half are the nearest."""

SHORT_LIST, COARSE_POINTS = 128, 48
VOTERS, VOTE_SIDE, DRAWN, NEAR = 256, 16, 16, 32
"""Views that vote for the cells of a picture they know, how many cells it has to a side, how many
views are drawn, and how many are asked for close walls."""

UNLIKE_M = 2.0
"""The way that makes views as unlike each other as a right angle between them does."""

Depth = NDArray[np.floating] | None


@dataclass(frozen=True, slots=True, eq=False)
class Sights:
    """What of `points [P, 3]`, offsets from `origin`, each of `viewers [V]` sees: `seen [V, P]`.

    `basis` says where the points come from. Viewers come newest first.
    """

    basis: str
    origin: NDArray[np.float64]
    points: Floats
    viewers: Slots
    seen: Mask

    def picks(self, columns: Columns, *, k: int, time_weight: float) -> list[Pick]:
        """Return up to `k` choices; being the newest counts as much as `time_weight` of all points.

        That weight is of ages as shares of that of the oldest view that sees anything.
        """
        times = columns.time_s[self.viewers]
        span = np.ptp(times) if len(times) else 0.0
        age = (times.max(initial=-np.inf) - times) / (span or 1.0)
        chosen = choose(self.seen, k=k, penalty=(time_weight * age).astype(np.float32))
        return [
            Pick(int(self.viewers[row]), float(self.seen[row].mean()), gain) for row, gain in chosen
        ]


def sights_of(
    columns: Columns,
    held: Mask,
    targets: Sequence[tuple[Frustum, Depth]],
    *,
    config: PoseBankConfig,
) -> Sights:
    """Return what the views `held` see of the surface that `targets` will show.

    On rays, where no surface is known, only views of which the depth is not known either count.
    """
    origin = targets[0][0].place
    share = max(1, config.points // len(targets))
    found = [_points_of(columns, held, *target, share=share, config=config) for target in targets]
    shifts = [(frustum.place - origin).astype(np.float32) for frustum, _ in targets]
    points = np.concatenate([one[0] + shift for one, shift in zip(found, shifts, strict=True)])
    basis = ", ".join(sorted({one[1] for one in found}))
    on_ray = np.concatenate([np.full(len(one[0]), one[1] == "rays") for one in found])

    def seen_by(viewers: Slots, some: slice) -> Mask:
        seen = sees_points(columns, viewers, points[some], origin=origin, config=config)
        seen &= ~(columns.has_depth[viewers][:, None] & on_ray[some])
        return seen

    viewers = np.empty(0, np.intp)
    if len(points):
        viewers = _may_see(columns, held, points, facing=targets[0][0])
        seen = seen_by(viewers, slice(None, None, -(-len(points) // COARSE_POINTS)))
        viewers = viewers[_short_list(seen, SHORT_LIST)]
        viewers = viewers[np.lexsort((-columns.view_id[viewers], -columns.time_s[viewers]))]
    return Sights(basis, origin, points, viewers, seen_by(viewers, slice(None)))


def _points_of(
    columns: Columns,
    held: Mask,
    frustum: Frustum,
    depth_m: Depth,
    *,
    share: int,
    config: PoseBankConfig,
) -> tuple[Floats, str]:
    """Return the points that stand for what a target will show, and where they come from."""
    if depth_m is not None:
        return on_surface(depth_m, frustum, points=share), "given depth"
    deep = held & columns.has_depth[: columns.count]
    voters = _may_show(columns, deep, frustum)
    cells = votes(columns, voters, frustum, side=VOTE_SIDE)
    none = np.zeros(len(voters), np.float32)
    drawn = voters[[one for one, _ in choose(cells, k=DRAWN, penalty=none)]]
    ahead = on_rays(frustum, points=16, far_m=CLOSE_M[-1])
    near = _may_see(columns, deep, ahead, facing=frustum, most=NEAR)
    side = max(1, round(share**0.5))
    points = remembered(columns, drawn, frustum, near=near, side=side)
    if len(points):
        return points, "remembered depth"
    return on_rays(frustum, points=share, far_m=config.range_m), "rays"


def _may_show(columns: Columns, held: Mask, frustum: Frustum) -> Slots:
    """Return those of `held` of which samples may lie in `frustum`, at most `VOTERS`."""
    away = _away(columns, frustum)
    right, down, ahead = frustum.matrix
    sides = np.stack([right, ahead - right, down, ahead - down])
    sides /= np.sqrt((sides * sides).sum(axis=1))[:, None]
    x, y, z = away + columns.middle[: columns.count].T
    inside = held.copy()
    for to_x, to_y, to_z in sides:
        inside &= to_x * x + to_y * y + to_z * z >= -columns.sample_m[: columns.count]
    return _at_most(columns, np.flatnonzero(inside), away, frustum, most=VOTERS)


def _may_see(
    columns: Columns, held: Mask, points: Floats, *, facing: Frustum, most: int = CONSIDERED
) -> Slots:
    """Return those of `held` that may see into the ball around `points`, at most so many.

    `points [P, 3]` are offsets from the place of `facing`.
    """
    n = columns.count
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    around = points - middle
    radius = np.sqrt((around * around).sum(axis=1).max())
    away = _away(columns, facing)
    x, y, z = middle[:, None] - away
    right, down, ahead = columns.matrix[:n, 2].T
    able = held & (x * x + y * y + z * z <= (columns.reach_m[:n] + radius) ** 2)
    able &= x * right + y * down + z * ahead >= -radius
    return _at_most(columns, np.flatnonzero(able), away, facing, most=most)


def _away(columns: Columns, frustum: Frustum) -> Floats:
    """Return `[3, N]`: the offsets of all views from the place of `frustum`."""
    away = np.empty((3, columns.count), np.float32)
    places = columns.place[: columns.count].T
    return np.subtract(places, frustum.place[:, None], out=away, casting="same_kind")


def _at_most(columns: Columns, slots: Slots, away: Floats, facing: Frustum, *, most: int) -> Slots:
    """Return all of `slots`, or where they are too many, half from nearby and half spread out."""
    if len(slots) <= most:
        return slots
    x, y, z = away[:, slots]
    unlike = np.sqrt(x * x + y * y + z * z) / np.float32(UNLIKE_M)
    unlike -= np.einsum("vi,i->v", columns.matrix[slots, 2], facing.matrix[2])
    half = most // 2
    order = np.argpartition(unlike, half)
    rest = np.sort(order[half:])
    spread = rest[np.arange(half) * len(rest) // half]
    some = np.sort(np.concatenate([order[:half], spread]))
    return np.asarray(slots[some])


def _short_list(seen: Mask, length: int) -> Slots:
    """Return rows of `seen [C, P]` worth a closer look: that see much, or what few others see."""
    if len(seen) <= length:
        return np.arange(len(seen))
    much = seen.sum(axis=1)
    weights = 1 / np.maximum(seen.sum(axis=0), 1).astype(np.float32)
    rare = np.einsum("cp,p->c", seen.astype(np.float32), weights)
    best = [np.argpartition(-score, length // 2)[: length // 2] for score in (much, rare)]
    return np.union1d(*best)
