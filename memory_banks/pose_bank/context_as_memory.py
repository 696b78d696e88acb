"""The rule of Context as Memory (arXiv 2506.03141, section 3.3): borders of views that cross."""

import numpy as np

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.frustum import Frustum
from memory_banks.pose_bank.picks import Pick
from memory_banks.pose_bank.records import Floats, Mask, Slots

NEAR_SHARE, FAR_SHARE = 0.02, 2.0
"""Crossings nearer or further than these shares of the range do not count; not published."""

_PARALLEL = 1e-6


def context_as_memory(
    columns: Columns, held: Slots, target: Frustum, *, k: int, range_m: float, seed: int
) -> list[Pick]:
    """Return the newest of `held`, and views of which both borders cross those of `target`.

    Seen from above, in the plane across the target's y axis, the left borders have to cross each
    other and so have the right ones. Of each run of such views in the order of time one is drawn,
    and of these as many as are asked for. `held` come newest first.
    """
    if not len(held) or k < 1:
        return []
    crossing = covisible(columns, held, target, range_m=range_m)
    crossing[0] = False
    runs = np.split(
        np.flatnonzero(crossing), np.flatnonzero(np.diff(np.flatnonzero(crossing)) > 1) + 1
    )
    draws = np.random.default_rng([seed, int(columns.view_id[held].max())])
    drawn = [int(run[draws.integers(len(run))]) for run in runs if len(run)]
    some = sorted(draws.permutation(len(drawn))[: k - 1].tolist())
    return [Pick(int(held[row])) for row in [0, *(drawn[one] for one in some)]]


def covisible(columns: Columns, held: Slots, target: Frustum, *, range_m: float) -> Mask:
    """Return `[V]`: whether both borders of each view cross those of `target`."""
    away = (columns.place[held] - target.place).astype(np.float32)
    inverses = np.linalg.inv(columns.matrix[held])
    right = target.inverse[:, 0] / np.linalg.norm(target.inverse[:, 0])
    plane = np.stack([right, target.matrix[2]])  # [2, 3]
    crosses = np.ones(len(held), np.bool_)
    for border in (0.0, 1.0):
        at = np.array([border, 0.5, 1.0], np.float32)
        own = _unit(plane @ target.inverse @ at)
        theirs = _unit(inverses @ at @ plane.T)
        crosses &= _cross(own, away @ plane.T, theirs, range_m=range_m)
    return crosses


def _cross(own: Floats, place: Floats, theirs: Floats, *, range_m: float) -> Mask:
    """Return whether the ray of `own [2]` from 0 crosses those of `theirs [V, 2]` from `place`.

    Rays on one line that go the same way cross.
    """
    turn = _wedge(own, theirs)
    parallel = np.abs(turn) < _PARALLEL
    divisor = np.where(parallel, 1.0, turn)
    along, along_theirs = _wedge(place, theirs) / divisor, _wedge(place, own) / divisor
    near, far = NEAR_SHARE * range_m, FAR_SHARE * range_m
    within = (np.minimum(along, along_theirs) >= near) & (np.maximum(along, along_theirs) <= far)
    same = (np.abs(_wedge(place, own)) < _PARALLEL * range_m) & (theirs @ own > 0)
    return np.where(parallel, same, within)


def _wedge(first: Floats, second: Floats) -> Floats:
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
