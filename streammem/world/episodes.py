"""Walks as files: one npz per walk, plain arrays, nothing pickled.

rgb         uint8    [T, H, W, 3]
depth_m     float16  [T, H, W]     z-depth in metres, NaN in the sky
pose        float32  [T, 4, 4]     camera to world, OpenCV axes, metres
action      uint8    [T]           number of the action that led to the frame, 0 for the first
intrinsics  float64  [3, 3]        pixels
actions     text     [A]           the names that `action` numbers
blocks      int8     [N, N]        wall block of each cell of the map, -1 where one can walk
colours     text     [B]           the colour of each wall block
objects_m   float64  [K, 2]        where the landmarks stand
fps         float64                frames for each second of the world
seed        int64                  of the world; the walk's own is made from it
versions    text     [V]           what drew it, as name==version
"""

import os
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streammem.errors import SourceError

_FAST = 1
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One walk through one world; the module's text has the shapes."""

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float16]
    pose: NDArray[np.float32]
    action: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    actions: NDArray[np.str_]
    blocks: NDArray[np.int8]
    colours: NDArray[np.str_]
    objects_m: NDArray[np.float64]
    fps: NDArray[np.float64]
    seed: NDArray[np.int64]
    versions: NDArray[np.str_]


def save_episode(path: Path, episode: Episode) -> None:
    """Write `episode` to `path`, which is there whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=_FAST) as archive:
        for field in fields(episode):
            with archive.open(f"{field.name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(
                    member, np.asarray(getattr(episode, field.name)), allow_pickle=False
                )
    unfinished.replace(path)


def load_episode(path: Path) -> Episode:
    """Read the episode at `path`; raises `SourceError` where it is none or is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Episode(**{field.name: arrays[field.name] for field in fields(Episode)})
    except _DAMAGE as error:
        raise SourceError(
            f"{path} is not a recorded walk: {error}; record it again with scripts/collect_maze.py"
        ) from error
