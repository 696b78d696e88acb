"""The surfel bank's steps in the plainest words: one at a time, in float64."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def ray(u: float, v: float, intrinsics: Array) -> Array:
    """Return what lies at z-depth 1 on the ray of a pixel."""
    return np.linalg.solve(intrinsics, np.array([u + 0.5, v + 0.5, 1.0]))


def normal_at(depth: Array, row: int, column: int, intrinsics: Array) -> Array:
    """Return the normal of the surface at a pixel, from points a small step away on its plane."""

    def nearness(r: int, c: int) -> float:
        inside = 0 <= r < depth.shape[0] and 0 <= c < depth.shape[1]
        known = inside and math.isfinite(depth[r, c]) and depth[r, c] > 0
        return 1 / float(depth[r, c]) if known else math.nan

    def slope(before: float, here: float, after: float) -> float:
        back, on = here - before, after - here
        if abs(on - back) <= 0.05 * here:
            return (back + on) / 2
        known = sorted((one for one in (back, on) if not math.isnan(one)), key=abs)
        return known[0] if known and abs(known[0]) <= 0.25 * here else 0.0

    here = nearness(row, column)
    along_u = slope(nearness(row, column - 1), here, nearness(row, column + 1))
    along_v = slope(nearness(row - 1, column), here, nearness(row + 1, column))
    step = 1e-3
    centre = ray(column, row, intrinsics) / here
    right = ray(column + step, row, intrinsics) / (here + step * along_u) - centre
    down = ray(column, row + step, intrinsics) / (here + step * along_v) - centre
    normal = np.cross(down, right)
    return np.asarray(normal / np.linalg.norm(normal))


def judged(surfel: Any, frame: Any, *, voxel_m: float, noise: float, least_cosine: float) -> str:
    """Return whether a frame has `seen` or `missed` a surfel, or looks `through` it.

    The surfel is its position, normal and radius.
    """
    pose, depth = frame.pose, frame.depth_m
    turn, place = pose.camera_to_world[:3, :3], pose.camera_to_world[:3, 3]
    position, normal = turn.T @ (surfel[0] - place), turn.T @ surfel[1]
    if position[2] <= 0.01:
        return ""
    u, v, _ = pose.intrinsics @ position / position[2]
    column, row = math.floor(u), math.floor(v)
    if not (0 <= row < depth.shape[0] and 0 <= column < depth.shape[1]):
        return ""
    tolerance = voxel_m + noise * position[2]
    focal = min(pose.intrinsics[0, 0], pose.intrinsics[1, 1])
    around = depth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    if math.isnan(depth[row, column]):
        return ""
    if np.nanmin(around) > position[2] + tolerance:
        return "through" if position[2] <= 4 * focal * surfel[2] else ""
    if math.isinf(depth[row, column]):
        return ""
    if normal @ position >= 0:
        return ""

    def on(r: int, c: int) -> bool:
        if not math.isfinite(depth[r, c]):
            return False
        own = normal_at(depth, r, c, pose.intrinsics)
        off = own @ (position - ray(c, r, pose.intrinsics) * depth[r, c])
        return bool(abs(off) <= tolerance and own @ normal >= least_cosine)

    if on(row, column):
        return "seen"
    for r in range(max(row - 1, 0), min(row + 2, depth.shape[0])):
        for c in range(max(column - 1, 0), min(column + 2, depth.shape[1])):
            if on(r, c) or position[2] > depth[r, c] + tolerance:
                return ""
    return "" if position[2] > 4 * focal * surfel[2] else "missed"


def groups(voxels: Array, normals: Array, *, least_cosine: float) -> list[list[int]]:
    """Return the points of each cluster: led by the first of a voxel that no other took."""
    found: list[tuple[int, list[int]]] = []
    waiting = defaultdict(list)
    for point, voxel in enumerate(voxels.tolist()):
        waiting[voxel].append(point)
    for points in waiting.values():
        while points:
            leader = points[0]
            taken = [
                p for p in points if p == leader or normals[leader] @ normals[p] >= least_cosine
            ]
            found.append((leader, taken))
            points[:] = [p for p in points if p not in taken]
    return [taken for _, taken in found]


def kept_views(held: list[int], view: int, *, room: int) -> list[int]:
    """Return the views of a surfel after one more saw it."""
    if len(held) == room:
        twos = [next(n for n in range(64) if (one + 1) % 2 ** (n + 1)) for one in held]
        held = [one for at, one in enumerate(held) if at != twos.index(min(twos))]
    return [*held, view]


def shares(
    known: Array, depth: Array, cosine: Array, surfel: Array, views: Array, *, count: int
) -> list[float]:
    """Return for each view the part of all that counts which it saw."""
    votes, total = [0.0] * count, 0.0
    for row, column in zip(*np.nonzero(known), strict=True):
        counts = float(cosine[row, column]) / (1 + float(depth[row, column]))
        total += counts
        for view in views[surfel[row, column]].tolist():
            if view >= 0:
                votes[view] += counts
    return [vote / total for vote in votes]


def apart_from_kept(apart: Array, k: int) -> list[int]:
    """Return candidates kept by non-maximum suppression, in the words of VMem's section 3.3."""
    count = len(apart)
    pairs = [float(apart[i, j]) for i in range(count) for j in range(i + 1, count)]
    bound = float(np.median(pairs)) if pairs else 0.0
    kept = [0]
    while len(kept) < min(k, count):
        for one in range(1, count):
            far = all(apart[one, other] >= bound for other in kept)
            if len(kept) < k and one not in kept and far:
                kept.append(one)
        bound = bound / 1.2 if bound > 1e-3 else 0.0
    return kept


def needed(
    radii: Array, seen: Array, last_s: Array, cells: list[Any], *, cell_area: float
) -> Array:
    """Return what each surfel is worth: its worth to readers times the needed part of its disc."""
    value = np.zeros(len(radii))
    for cell in set(cells):
        rows = [row for row in range(len(radii)) if cells[row] == cell]
        rows.sort(key=lambda row: (-seen[row], -last_s[row], row))
        covered = 0.0
        for row in rows:
            area = float(radii[row]) ** 2
            free = (cell_area - covered) / min(area, cell_area)
            value[row] = seen[row] * min(max(free, 0.05), 1.0)
            covered += area
    return value
