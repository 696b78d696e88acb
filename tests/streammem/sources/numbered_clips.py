"""Small videos with their frame numbers burnt into the pixels."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from streammem.records import Image

_BITS = 12
_BLOCK = 16


def painted(number: int, *, width: int = 320, height: int = 180) -> Image:
    """Return a moving pattern with `number` as twelve black or white blocks in its top row."""
    across = np.arange(width)[None, :] + 3 * number
    down = np.arange(height)[:, None]
    rgb = np.stack([across + down, across - 2 * down, down + 0 * across], axis=2)
    picture = (96 + rgb % 64).astype(np.uint8)
    for bit in range(_BITS):
        left = bit * _BLOCK
        picture[:_BLOCK, left : left + _BLOCK] = 255 if number >> bit & 1 else 0
    return picture


def number_in(rgb: NDArray[np.uint8]) -> int:
    """Return the number that `painted` put into a picture."""
    middle = _BLOCK // 2
    return sum(int(rgb[middle, bit * _BLOCK + middle].mean() > 127) << bit for bit in range(_BITS))


def write_clip(
    path: Path,
    *,
    times_s: Sequence[float],
    codec: str = "libx264",
    gop: int = 250,
    size: tuple[int, int] = (320, 180),
    rotation_deg: int = 0,
    options: dict[str, str] | None = None,
    coder_options: dict[str, str] | None = None,
    paint: Callable[[int], Image] | None = None,
) -> Path:
    """Write a clip of one numbered frame at each of `times_s`."""
    width, height = size
    paint = paint or (lambda number: painted(number, width=width, height=height))
    with av.open(str(path), "w", options=options or {}) as container:
        coder = {"preset": "veryfast", "bf": "3", **(coder_options or {})}
        stream = container.add_stream(codec, rate=25, options=coder)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = gop
        stream.time_base = stream.codec_context.time_base = Fraction(1, 12800)
        if rotation_deg:
            stream.set_display_rotation(rotation_deg)
        for number, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(paint(number), "rgb24")
            frame.time_base = Fraction(1, 12800)
            frame.pts = round(time_s * 12800)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
