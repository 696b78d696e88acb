"""What holds for every picture, from wherever it comes: its size, and which way is up."""

import numpy as np

from streammem.errors import SourceError
from streammem.records import Image

MAX_PIXELS = 1 << 26
"""The largest picture that is decoded, 8192 x 8192: what claims more is an attack or a mistake."""


def check_pixels(name: str, *, width: int, height: int) -> None:
    """Refuse a picture that would fill the memory."""
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"{name} has pictures of {width} x {height} pixels; at most {MAX_PIXELS:,} pixels are"
            " read, so make it smaller first"
        )


def fitted(width: int, height: int, *, max_side: int) -> tuple[int, int]:
    """Return the size that fits `max_side` with the shape kept; 0 keeps the size."""
    longest = max(width, height)
    if max_side == 0 or longest <= max_side:
        return width, height
    scale = max_side / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def upright(rgb: Image, *, rotation_deg: int) -> Image:
    """Return `rgb` turned counter-clockwise by `rotation_deg`, a multiple of 90."""
    turns = rotation_deg // 90 % 4
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def whole_turns(rotation_deg: float) -> int:
    """Return a rotation as the nearest of 0, 90, 180 and 270 degrees counter-clockwise."""
    return round(rotation_deg / 90) % 4 * 90
