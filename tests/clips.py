"""Small real clips for tests: made with PyAV, each second in a colour of its own."""

from pathlib import Path

import av
import numpy as np

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200))


def make_clip(
    path: Path,
    *,
    seconds: int = 10,
    fps: int = 5,
    size: tuple[int, int] = (160, 96),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write an h264 clip that shows `COLOURS` in turn, a second each, over fixed noise."""
    width, height = size
    noise = np.random.default_rng(0).integers(-20, 20, (height, width, 3))
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", **(options or {})}
        for index in range(seconds * fps):
            colour = np.array(COLOURS[index // fps % len(COLOURS)])
            picture = np.clip(colour + noise, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def make_sound(path: Path, *, seconds: int = 2) -> Path:
    """Write a file with a tone and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        time_s = np.arange(16000 * seconds) / 16000
        tone = (0.2 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(
                tone[None, start : start + 1024], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
