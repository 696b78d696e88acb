"""Record walks through seeded mazes, to train a world model on and to measure it with.

    python scripts/collect_maze.py --out data/maze --frames 300000
    python scripts/collect_maze.py --out data/maze --frames 40000 --held-out

Each file `maze-SEED.npz` is one walk of 1,000 to 2,000 steps in a maze of its own;
streammem/world/episodes.py says what is in it. Training mazes have seeds from 0 on, held-out mazes
from 1,000,000 on, and no map is in both, though different seeds can lead to the same map. A file
is there whole or not at all, and one that is there is not made again: after a break, run the same
command.
"""

import argparse
import importlib.metadata
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from streammem.world.episodes import Episode, save_episode
from streammem.world.simulator.explorer import Explorer
from streammem.world.simulator.maze import MazeWorld
from streammem.world.simulator.maze_map import is_held_out
from streammem.world.simulator.maze_scene import map_of

HELD_OUT_SEED = 1_000_000
DRAWN_BY = ("memory-maze", "dm-control", "mujoco", "labmaze")


def main() -> None:
    """Record what is missing and print what was done as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="the folder to fill")
    parser.add_argument("--frames", type=int, default=300_000, help="how many, at least")
    parser.add_argument("--held-out", action="store_true", help="mazes for measuring only")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="two walks of 100 steps, not kept")
    asked = parser.parse_args()
    if asked.quick:
        with tempfile.TemporaryDirectory() as folder:
            walks = [(0, 100), (1, 100)]
            print(json.dumps(collect(Path(folder), walks, processes=asked.processes)))
        return
    if asked.out is None:
        parser.error("name a folder with --out")
    walks = list(planned(asked.frames, held_out=asked.held_out))
    print(json.dumps(collect(asked.out, walks, asked.processes)))


def planned(frames: int, *, held_out: bool) -> Iterator[tuple[int, int]]:
    """Yield seed and length of each walk until there are at least `frames`."""
    total = 0
    for seed in count(HELD_OUT_SEED if held_out else 0):
        if total >= frames:
            return
        if is_held_out(map_of(seed)) == held_out:
            steps = int(np.random.default_rng(seed).integers(1000, 2001))
            total += steps
            yield seed, steps


def collect(folder: Path, walks: list[tuple[int, int]], processes: int) -> dict[str, float]:
    """Record the `walks` that `folder` lacks; return what was made and how fast."""
    folder.mkdir(parents=True, exist_ok=True)
    for unfinished in folder.glob("*.tmp"):
        unfinished.unlink()
    missing = [(seed, steps) for seed, steps in walks if not path_of(folder, seed).exists()]
    started, frames = time.monotonic(), 0
    # Spawned, since OpenGL does not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        for number, steps in enumerate(pool.map(partial(record, folder), missing), 1):
            frames += steps
            rate = frames / (time.monotonic() - started)
            print(f"{number}/{len(missing)} walks, {rate:.0f} frames/s", file=sys.stderr)
    size = sum(path_of(folder, seed).stat().st_size for seed, _ in walks)
    seconds = time.monotonic() - started
    return {
        "walks": len(walks),
        "frames": sum(steps for _, steps in walks),
        "bytes": size,
        "recorded_frames": frames,
        "seconds": round(seconds, 1),
        "frames_per_s": round(frames / seconds, 1),
    }


def path_of(folder: Path, seed: int) -> Path:
    """Return where the walk of `seed` is kept."""
    return folder / f"maze-{seed:07d}.npz"


def record(folder: Path, walk: tuple[int, int]) -> int:
    """Record one walk and return its length."""
    seed, steps = walk
    world = MazeWorld()
    save_episode(path_of(folder, seed), walked(world, seed, steps))
    world.close()
    return steps


def walked(world: MazeWorld, seed: int, steps: int) -> Episode:
    """Return a walk of `steps` frames through the maze of `seed`."""
    frame, state = world.start(seed)
    scene = world.scene(seed)
    explorer = Explorer(scene.free, seed=seed)
    frames, poses = [frame], [world.camera(state)]
    while len(frames) < steps:
        frame, state = world.step(state, explorer.act(poses[-1]))
        frames.append(frame)
        poses.append(world.camera(state))
    actions = [world.actions.index(frame.action or "stay") for frame in frames]
    return Episode(
        rgb=np.stack([frame.rgb for frame in frames]),
        depth_m=np.stack([frame.depth_m for frame in frames]).astype(np.float16),
        pose=np.stack([pose.camera_to_world for pose in poses]).astype(np.float32),
        action=np.array(actions, np.uint8),
        intrinsics=poses[0].intrinsics,
        actions=np.array(world.actions),
        blocks=scene.blocks,
        colours=np.array(scene.colours),
        objects_m=np.array(scene.objects),
        fps=np.array(world.fps),
        seed=np.array(seed),
        versions=np.array([f"{name}=={importlib.metadata.version(name)}" for name in DRAWN_BY]),
    )


if __name__ == "__main__":
    main()
