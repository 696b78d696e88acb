"""How soon a frame is in the surfel bank, and what is known at a pose out of it.

    .venv/bin/python scripts/bench_surfel_bank.py [--quick] [--json]

A camera walks in circles through a hall with pillars, 12 x 12 x 3 m, which takes more surfels than
the 21,000 that the budget has room for, so that every frame makes some go. Frames are 64 x 64. A
write is a whole frame; a read draws the map at a pose and finds four views by its votes. Everything
runs on one core.

The peer is the structure of VMem (arXiv 2506.18903) as it is published, written here from its
description: the points of a frame, 350 of them, look for neighbours in an octree that is built anew
from all surfels, at most ten to a leaf; reading draws one surfel after the other as a polygon of 16
corners into a z-buffer, and counts pixel by pixel. It holds the same surfels, and takes turns.

`early_over_late` is the processor's time that a write and a read take in the second round of the
walk over that in the last one; 1 is flat.
"""

import argparse
import math
import os
import statistics
import time
from collections import defaultdict
from dataclasses import replace

import numpy as np
from bench_output import Goals, say, show
from bench_turns import take_turns, times_faster
from numpy.typing import NDArray

from memory_banks.surfel_bank import SurfelBank, SurfelBankConfig
from memory_banks.surfel_bank.geometry import camera_normals, pixel_radii
from streammem.camera import intrinsics_of, pose_from_heading, unproject
from streammem.records import Frame, Pose

SIDE_PX, SURFELS, K = 64, 21_000, 4
HALL_M = (12.0, 12.0, 3.0)
PILLARS = [(x, y) for x in (3.0, 6.0, 9.0) for y in (3.0, 6.0, 9.0)]
PILLAR_M, FPS, LOOP = 0.8, 8.0, 400
PEER_POINTS, LEAF, CORNERS = 350, 10, 16
TOGETHER_MS, FLAT = 50.0, 0.9

Array = NDArray[np.float64]


def look(pose: Pose) -> Frame:
    """Return the exact picture and depth of the hall at `pose`, coloured by place."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5
    pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
    towards = pixels @ np.linalg.inv(pose.intrinsics).T @ pose.camera_to_world[:3, :3].T
    towards = np.where(towards == 0, 1e-9, towards)
    start = pose.camera_to_world[:3, 3]
    depth = np.maximum(-start / towards, (np.array(HALL_M) - start) / towards).min(-1)
    for centre in PILLARS:
        low = np.array([*centre, 0.0]) - [PILLAR_M / 2, PILLAR_M / 2, 0]
        high = np.add(low, [PILLAR_M, PILLAR_M, HALL_M[2]])
        first, second = (low - start) / towards, (high - start) / towards
        near, far = np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)
        depth = np.where((far > near) & (near > 0) & (near < depth), near, depth)
    place = start + towards * depth[..., None]
    rgb = (128 + 100 * np.sin(place * 2.0)).astype(np.uint8)
    return Frame("hall", 0, 0.0, rgb, pose, depth.astype(np.float32))


def walk(steps: int) -> list[Frame]:
    """Return frames of a walk in circles that looks to and fro."""
    intrinsics = intrinsics_of(width_px=SIDE_PX, height_px=SIDE_PX, horizontal_deg=80)
    frames = []
    for step in range(steps):
        turn = 2 * math.pi * step / steps
        heading = 3 * turn + math.sin(9 * turn)
        away = 4.6 + 0.5 * math.sin(5 * turn)
        x, y = 6 + away * math.cos(turn), 6 + away * math.sin(turn)
        placed = pose_from_heading(x, y, 1.4, heading_rad=heading, up_rad=0.1 * math.sin(7 * turn))
        frames.append(look(Pose(placed, intrinsics)))
    return frames


class Peer:
    """The published structure: lists of surfels, an octree for each write, polygons for a read."""

    def __init__(self, bank: SurfelBank) -> None:
        state = bank.state()
        self.positions = list(state["surfel.position"].astype(np.float64))
        self.normals = list(state["surfel.normal"].astype(np.float64))
        self.radii = state["surfel.radius"].astype(np.float64).tolist()
        self.views = [{view for view in row if view >= 0} for row in state["surfel.views"].tolist()]

    def write(self, frame: Frame, view: int) -> None:
        assert frame.pose is not None and frame.depth_m is not None
        pose = frame.pose
        seen = unproject(
            frame.depth_m.astype(float), intrinsics=pose.intrinsics, camera_to_world=np.eye(4)
        )
        normals = camera_normals(frame.depth_m, pose.intrinsics).astype(np.float64)
        cosines = -(normals * seen).sum(-1) / np.linalg.norm(seen, axis=-1)
        radii = pixel_radii(frame.depth_m, cosines.astype(np.float32), pose.intrinsics)
        turn, place = pose.camera_to_world[:3, :3], pose.camera_to_world[:3, 3]
        chosen = np.linspace(0, SIDE_PX * SIDE_PX - 1, PEER_POINTS).astype(int)
        points = seen.reshape(-1, 3)[chosen] @ turn.T + place
        facing = normals.reshape(-1, 3)[chosen] @ turn.T
        tree = octree(self.positions, list(range(len(self.positions))))
        reach = float(radii.mean() + 0.5 * radii.std())
        for point, normal, radius in zip(
            points, facing, radii.ravel()[chosen].tolist(), strict=True
        ):
            near = [
                one
                for one in within(tree, self.positions, point, reach)
                if self.normals[one] @ normal > 0.6
            ]
            for one in near:
                self.views[one].add(view)
            if not near:
                self.positions.append(point)
                self.normals.append(normal)
                self.radii.append(radius)
                self.views.append({view})

    def read(self, pose: Pose) -> list[int]:
        (fx, _, cx), (_, fy, cy), _ = pose.intrinsics.tolist()
        turn, place = pose.camera_to_world[:3, :3], pose.camera_to_world[:3, 3]
        angles = np.arange(CORNERS) * 2 * math.pi / CORNERS
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        buffer = np.full((SIDE_PX, SIDE_PX), np.inf)
        shown = np.full((SIDE_PX, SIDE_PX), -1)
        for one, (position, radius) in enumerate(zip(self.positions, self.radii, strict=True)):
            centre = turn.T @ (position - place)
            if centre[2] <= 0.05:
                continue
            normal = turn.T @ self.normals[one]
            side = np.array([normal[2], 0, -normal[0]]) + 1e-9
            side /= np.linalg.norm(side)
            up = np.array(
                [
                    normal[1] * side[2] - normal[2] * side[1],
                    normal[2] * side[0] - normal[0] * side[2],
                    normal[0] * side[1] - normal[1] * side[0],
                ]
            )
            corners = centre + radius * (circle[:, :1] * side + circle[:, 1:] * up)
            if corners[:, 2].min() <= 0.05:
                continue
            u = fx * corners[:, 0] / corners[:, 2] + cx
            v = fy * corners[:, 1] / corners[:, 2] + cy
            left, right = max(math.ceil(u.min() - 0.5), 0), min(math.ceil(u.max() - 0.5), SIDE_PX)
            top, bottom = max(math.ceil(v.min() - 0.5), 0), min(math.ceil(v.max() - 0.5), SIDE_PX)
            if left >= right or top >= bottom:
                continue
            x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
            across = (np.roll(u, -1) - u)[:, None, None] * (y - v[:, None, None])
            across -= (np.roll(v, -1) - v)[:, None, None] * (x - u[:, None, None])
            inside = (across >= 0).all(0) | (across <= 0).all(0)
            window = np.s_[top:bottom, left:right]
            nearer = inside & (centre[2] < buffer[window])
            buffer[window][nearer] = centre[2]
            shown[window][nearer] = one
        votes: dict[int, float] = defaultdict(float)
        for row in range(SIDE_PX):
            for column in range(SIDE_PX):
                one = int(shown[row, column])
                if one >= 0:
                    ray = turn @ np.array([(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy, 1.0])
                    cosine = abs(ray @ self.normals[one]) / math.sqrt(float(ray @ ray))
                    for view in self.views[one]:
                        votes[view] += cosine / (1 + float(buffer[row, column]))
        return sorted(votes, key=votes.__getitem__, reverse=True)[:K]


Tree = tuple[Array, Array, list[int], list["Tree"]]


def octree(positions: list[Array], rows: list[int]) -> Tree:
    """Return the box of `rows`, and either the rows or the trees of its eight parts."""
    points = np.array([positions[row] for row in rows])
    low, high = points.min(0), points.max(0)
    if len(rows) <= LEAF or (high - low).max() < 1e-6:
        return low, high, rows, []
    middle = (low + high) / 2
    parts: dict[int, list[int]] = defaultdict(list)
    for row, code in zip(rows, ((points > middle) @ [1, 2, 4]).tolist(), strict=True):
        parts[code].append(row)
    return low, high, [], [octree(positions, part) for part in parts.values()]


def within(tree: Tree, positions: list[Array], point: Array, reach: float) -> list[int]:
    """Return the rows of `tree` that lie within `reach` of a point."""
    low, high, rows, parts = tree
    if (point < low - reach).any() or (point > high + reach).any():
        return []
    found = [row for row in rows if float(((positions[row] - point) ** 2).sum()) <= reach * reach]
    for part in parts:
        found += within(part, positions, point, reach)
    return found


def room_for(surfels: int) -> SurfelBankConfig:
    """Return settings whose budget has room for so many surfels."""
    low, high = 0.5, 64.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        enough = SurfelBankConfig(budget_mb=middle).surfels >= surfels
        low, high = (low, middle) if enough else (middle, high)
    return SurfelBankConfig(budget_mb=high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--json", action="store_true", help="print only JSON")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    config = room_for(SURFELS)
    say(f"{config.surfels} surfels and {config.views} views in {config.budget_mb:.2f} MB")
    frames = walk(LOOP)
    bank = SurfelBank(config)
    steps = 1_200 if options.quick else 5_000
    writes, reads, busy, most = [], [], [], 0
    for step in range(steps):
        frame = replace(frames[step % LOOP], index=step, time_s=step / FPS)
        pose = frames[(step * 7 + 3) % LOOP].pose
        assert pose is not None
        started, worked = time.perf_counter(), time.process_time()
        bank.write(frame, view_id=step)
        written = time.perf_counter()
        bank.retrieve(pose, k=K, height_px=SIDE_PX, width_px=SIDE_PX)
        reads.append(time.perf_counter() - written)
        busy.append(time.process_time() - worked)
        writes.append(written - started)
        most = max(most, len(bank))
        if step % 500 == 499:
            say(f"{step + 1} frames, {len(bank)} surfels, {len(bank.views)} views")
    both = [write + read for write, read in zip(writes, reads, strict=True)][LOOP:]
    early, late = statistics.median(busy[LOOP : 2 * LOOP]), statistics.median(busy[-LOOP:])
    figures = {
        "surfels": float(len(bank)),
        "write_ms": 1e3 * statistics.median(writes[LOOP:]),
        "read_ms": 1e3 * statistics.median(reads[LOOP:]),
        "together_ms": 1e3 * statistics.median(both),
        "together_cpu_ms": 1e3 * statistics.median(busy[LOOP:]),
        "together_p95_ms": 1e3 * float(np.quantile(both, 0.95)),
        f"{TOGETHER_MS:g}_ms_over_together": TOGETHER_MS / (1e3 * statistics.median(both)),
        "frames": float(steps),
        "early_over_late": early / late,
        "room_over_most_held": config.surfels / most,
    }
    say("the published structure takes its turn")
    peer = Peer(bank)
    views = iter(range(steps, 10 * steps))
    frame = frames[5]
    pose = frames[9].pose
    assert pose is not None

    def our_write() -> None:
        view = next(views)
        bank.write(replace(frame, index=view, time_s=view / FPS), view_id=view)

    seconds = take_turns(
        {
            "our write": our_write,
            "their write": lambda: peer.write(frame, 10**6),
            "our read": lambda: bank.retrieve(pose, k=K, height_px=SIDE_PX, width_px=SIDE_PX),
            "their read": lambda: peer.read(pose),
        },
        rounds=2 if options.quick else 5,
    )
    figures |= {
        "their_write_ms": 1e3 * statistics.median(seconds["their write"]),
        "their_read_ms": 1e3 * statistics.median(seconds["their read"]),
        "write_times_faster": times_faster(seconds, "their write", "our write"),
        "read_times_faster": times_faster(seconds, "their read", "our read"),
    }
    goals: Goals = {
        f"{TOGETHER_MS:g}_ms_over_together": (">=", 1.0),
        "early_over_late": (">=", FLAT),
        "room_over_most_held": (">=", 1.0),
    }
    show(figures, goals, as_json=options.json)


if __name__ == "__main__":
    main()
