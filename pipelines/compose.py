"""Long streams of real footage with truth by construction: what is shown when is decided first.

Stills drift slowly through the frame, a few seconds each, among plays of short clips that are
flipped, cropped and brightened anew each time, so that no two are equal.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image

from pipelines.footage import CLIPS, PICTURES, Footage, required
from streammem.errors import StreamMemError, UsageError
from streammem.records import Image

_PAIRED = 0.35
_ZOOM = 0.12


@dataclass(frozen=True, slots=True)
class Shot:
    """What is shown from `start_s` up to, not including, `end_s`; `words` name it."""

    name: str
    start_s: float
    end_s: float
    words: tuple[str, ...]
    still: bool = True


@dataclass(frozen=True, slots=True)
class Composition:
    """A stream and its truth: every shot in order of time, background clips among them."""

    path: Path
    duration_s: float
    fps: int
    seed: int
    timeline: tuple[Shot, ...]

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The stills alone: what questions are asked about."""
        return tuple(shot for shot in self.timeline if shot.still)


def plan_shots(
    *,
    seconds: float,
    seed: int,
    pictures: Sequence[Footage] = PICTURES,
    clips: Sequence[Footage] = CLIPS,
    still_s: tuple[float, float] = (3.0, 6.0),
    clip_s: tuple[float, float] = (8.0, 20.0),
) -> tuple[Shot, ...]:
    """Return what is shown when: every picture once before any comes again, none twice in a row.

    Some stills follow one another directly, the others have a clip before and after.
    """
    if not pictures or not clips:
        raise UsageError("a stream is composed of at least one picture and one clip")
    seconds = round(seconds, 1)
    rng = np.random.default_rng(seed)
    waiting: list[Footage] = []
    shots: list[Shot] = []
    time_s, still = 0.0, False
    while time_s < seconds:
        if still and not waiting:
            waiting = [pictures[i] for i in rng.permutation(len(pictures))]
            if shots and waiting[0].name == _last_still(shots) and len(waiting) > 1:
                waiting.append(waiting.pop(0))
        item = waiting.pop(0) if still else clips[int(rng.integers(len(clips)))]
        length = float(rng.uniform(*(still_s if still else clip_s)))
        end_s = round(min(seconds, time_s + length), 1)
        shots.append(Shot(item.name, time_s, end_s, item.words, still))
        time_s = end_s
        still = not still or (rng.random() < _PAIRED and len(pictures) > 1)
    return tuple(shots)


def compose_stream(
    path: Path,
    *,
    seconds: float = 600.0,
    seed: int = 0,
    pictures: Sequence[Footage] = PICTURES,
    clips: Sequence[Footage] = CLIPS,
    still_s: tuple[float, float] = (3.0, 6.0),
    fps: int = 10,
    size: tuple[int, int] = (640, 360),
    progress: Callable[[float], None] | None = None,
) -> Composition:
    """Write an h264 stream to `path` with its truth beside it as `.truth.json`; return both.

    `size` is (width, height). `progress` is told the seconds written so far.
    """
    timeline = plan_shots(
        seconds=seconds, seed=seed, pictures=pictures, clips=clips, still_s=still_s
    )
    composition = Composition(path, timeline[-1].end_s, fps, seed, timeline)
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = {"preset": "superfast", "crf": "23", "g": "250"}
            frames = draw_frames(composition, pictures=pictures, clips=clips, size=size)
            for index, rgb in enumerate(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
                if progress is not None and index % fps == 0:
                    progress(index / fps)
            container.mux(stream.encode(None))
        truth = {**asdict(composition), "path": path.name}
        path.with_suffix(".truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    except OSError as error:
        raise StreamMemError(f"stream {path} cannot be written: {error.strerror}") from error
    return composition


def draw_frames(
    composition: Composition,
    *,
    pictures: Sequence[Footage] = PICTURES,
    clips: Sequence[Footage] = CLIPS,
    size: tuple[int, int] = (640, 360),
) -> Iterator[Image]:
    """Yield every frame of the stream, RGB of `size` (width, height)."""
    rng = np.random.default_rng([composition.seed, 1])
    stills = {item.name: _read_picture(required(item)) for item in pictures}
    moving = {item.name: read_clip(required(item), fps=composition.fps) for item in clips}
    for shot in composition.timeline:
        first = round(shot.start_s * composition.fps)
        count = round(shot.end_s * composition.fps) - first
        if shot.still:
            yield from _drift(stills[shot.name], count=count, size=size, rng=rng)
        else:
            yield from _play(moving[shot.name], count=count, size=size, rng=rng)


def neighbours(composition: Composition) -> list[tuple[Shot, Shot]]:
    """Return the pairs of stills that follow one another directly."""
    return [(a, b) for a, b in pairwise(composition.timeline) if a.still and b.still]


def read_clip(path: Path, *, fps: int) -> list[Image]:
    """Return the frames of a short clip, thinned to about `fps`."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = max(1, round(float(stream.average_rate or fps) / fps))
        return [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for index, frame in enumerate(container.decode(stream))
            if index % step == 0
        ]


def _read_picture(path: Path) -> Image:
    with PIL.Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.uint8)


def _drift(
    picture: Image, *, count: int, size: tuple[int, int], rng: np.random.Generator
) -> Iterator[Image]:
    """Yield a still that zooms and pans slowly, its brightness falling or rising a little."""
    zooms = np.linspace(1.0, 1.0 + _ZOOM, count)[:: int(rng.choice((1, -1)))]
    towards = rng.uniform(-1, 1, 2)
    lights = np.linspace(rng.uniform(0.9, 1.0), rng.uniform(1.0, 1.1), count)
    for zoom, light, part in zip(zooms, lights, np.linspace(0, 1, count), strict=True):
        yield _fitted(picture, size, zoom=zoom, shift=towards * part, light=light)


def _play(
    frames: Sequence[Image], *, count: int, size: tuple[int, int], rng: np.random.Generator
) -> Iterator[Image]:
    """Yield a clip forth and back from a random frame, with a look of its own."""
    zoom, shift = rng.uniform(1.0, 1.25), rng.uniform(-1, 1, 2)
    light, flipped = rng.uniform(0.8, 1.2), rng.random() < 0.5
    start, length = int(rng.integers(len(frames))), len(frames)
    for step in range(count):
        place = (start + step) % (2 * length)
        frame = frames[place if place < length else 2 * length - 1 - place]
        picture = _fitted(frame, size, zoom=zoom, shift=shift, light=light)
        yield np.ascontiguousarray(picture[:, ::-1]) if flipped else picture


def _fitted(
    picture: Image,
    size: tuple[int, int],
    *,
    zoom: float,
    shift: np.ndarray[tuple[int], np.dtype[np.float64]],
    light: float,
) -> Image:
    """Return the picture filling `size`, enlarged by `zoom`, its spare part shifted in [-1, 1]."""
    width, height = size
    high, wide = picture.shape[:2]
    scale = max(width / wide, height / high) * zoom
    spare_x, spare_y = wide * scale - width, high * scale - height
    move = (-spare_x * (1 + shift[0]) / 2, -spare_y * (1 + shift[1]) / 2)
    matrix = np.array([[scale, 0.0, move[0]], [0.0, scale, move[1]]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    placed = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.convertScaleAbs(placed, alpha=light), np.uint8)


def _last_still(shots: Sequence[Shot]) -> str:
    """Return the name of the newest still, "" where there is none."""
    return next((shot.name for shot in reversed(shots) if shot.still), "")
