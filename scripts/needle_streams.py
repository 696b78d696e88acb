"""Features of a haystack of hours and of the needles in it, made once and kept in a folder.

The haystack is real video at one frame a second: visits of 20 s to 3 minutes to clips that
installed packages carry, and to those of `--footage`, forth and back at their own pace. Every frame
is changed in brightness, crop and noise, so that no two are equal. Half of the footage clips, in
the order of their names, are kept out of it.

Needles are other pictures: those of packages, parts of them, and frames of the clips that are
kept out. One is taken only if to the encoder it is further from every needle before it, and from
everything in ten minutes of haystack, than `APART`: two needles that look alike to the encoder
cannot be told apart by any memory of its features. Each is shown and asked for by different crops
with different brightness and noise.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from bench_output import say
from retrieval_queries import MORE_PICTURES

from pipelines.footage import CLIPS, PICTURES, WEB_PICTURES, Footage
from streammem.encoders.choose import choose_encoder
from streammem.protocols import Encoder
from streammem.records import Frame, Image

LONGEST_PX = 320
CLIP_FPS = 4
CLIP_FRAMES = 160
SHARD = 1800
BATCH = 16
APART = 0.6
"""|k - k'|^2 + |v - v'|^2; two views of one needle are 0.2 apart, and 0.4 at most of nearly all."""

SHOWN, ASKED = 5, 2
SINGLE_PICTURES = (
    "clock_motion", "text", "camera", "color", "phantom", "motorcycle_right", "microaneurysms",
    "logo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Needles:
    """What can be hidden: N needles as shown and as asked for.

    `shown_key [N, SHOWN, D]`, `shown_visual [N, SHOWN, V]`, `asked_visual [N, ASKED, V]`; `words`
    holds for each what it is called, "" where the encoder does not know it, and `asked_key [N, D]`
    those words encoded.
    """

    shown_key: np.ndarray
    shown_visual: np.ndarray
    asked_visual: np.ndarray
    words: np.ndarray
    asked_key: np.ndarray

    def __len__(self) -> int:
        return len(self.words)


def split_footage(folder: Path | None) -> tuple[list[Path], list[Path]]:
    """Return the clips of the haystack, and those kept out of it."""
    clips = [path for clip in CLIPS if (path := clip.path) is not None]
    found = [] if folder is None else sorted(folder.glob("*.mp4")) + sorted(folder.glob("*.mkv"))
    return clips + found[::2], found[1::2]


def haystack(
    work: Path, *, seconds: int, footage: Path | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return `key [seconds, D]` and `visual [seconds, V]` in float16, making what is missing."""
    shards = range(-(-seconds // SHARD))
    clips, _ = split_footage(footage)
    paths = [work / f"haystack_{made_of(clips)}_{seed}_{shard:03}.npz" for shard in shards]
    missing = [shard for shard in shards if not paths[shard].exists()]
    if missing:
        say(f"encoding {len(missing) * SHARD:,} frames of haystack into {work}")
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(make_shard, paths[shard], shard, clips, seed=seed) for shard in missing
            ]
            for number, job in enumerate(jobs):
                job.result()
                say(f"  {number + 1} of {len(jobs)} parts")
    parts = [np.load(path) for path in paths]
    key, visual = (np.concatenate([part[name] for part in parts]) for name in ("key", "visual"))
    return key[:seconds], visual[:seconds]


def made_of(clips: Sequence[Path]) -> str:
    """Return what tells features of these clips by this encoder from others."""
    names = [choose_encoder("embedded").revision, *(clip.name for clip in clips)]
    return hashlib.sha256("/".join(names).encode()).hexdigest()[:8]


def make_shard(path: Path, shard: int, clips: Sequence[Path], *, seed: int) -> None:
    """Encode one part of the haystack and put it in its file."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, shard])
    encoder = choose_encoder("embedded")
    loaded = [clip_frames(path) for path in clips]
    pictures = (jittered(picture, rng=rng) for picture in _visits(loaded, rng=rng))
    key, visual = encoded(encoder, pictures, count=SHARD)
    part = path.with_suffix(".part.npz")
    np.savez(part, key=key, visual=visual)
    part.rename(path)


def clip_frames(path: Path) -> list[Image]:
    """Return the frames of a clip, `CLIP_FPS` a second, at most `CLIP_FRAMES`, made small."""
    frames: list[Image] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = max(1, round(float(stream.average_rate or 25) / CLIP_FPS))
        for number, frame in enumerate(container.decode(stream)):
            if number % step == 0:
                frames.append(small(frame.to_ndarray(format="rgb24")))
            if len(frames) == CLIP_FRAMES:
                break
    return frames


def small(rgb: Image) -> Image:
    """Return a picture with a longest side of `LONGEST_PX`."""
    scale = LONGEST_PX / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _visits(clips: Sequence[list[Image]], *, rng: np.random.Generator) -> Iterator[Image]:
    """Yield a frame a second, of one clip after another, each forth and back."""
    while True:
        clip = clips[int(rng.integers(len(clips)))]
        there_and_back = 2 * len(clip) - 2
        start = int(rng.integers(there_and_back))
        for second in range(int(rng.integers(20, 180))):
            place = (start + CLIP_FPS * second) % there_and_back
            yield clip[min(place, there_and_back - place)]


def jittered(
    rgb: Image, *, rng: np.random.Generator, least: float = 0.85, most: float = 1.0
) -> Image:
    """Return a crop of `least` to `most` of each side, with other brightness and with noise."""
    height, width, _ = rgb.shape
    share = rng.uniform(least, most)
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    top = int(rng.integers(height - rows + 1))
    left = int(rng.integers(width - columns + 1))
    crop = rgb[top : top + rows, left : left + columns].astype(np.float32)
    noise = rng.standard_normal(crop.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 5.0))
    changed = crop * np.float32(rng.uniform(0.8, 1.2)) + np.float32(rng.uniform(-12, 12)) + noise
    return np.clip(changed, 0, 255).astype(np.uint8)


def encoded(
    encoder: Encoder, pictures: Iterator[Image], *, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return `key [count, D]` and `visual [count, V]` of the next pictures, in float16."""
    keys, visuals = [], []
    while len(keys) < count:
        batch = [
            Frame("needle", number, float(number), np.ascontiguousarray(next(pictures)))
            for number in range(min(BATCH, count - len(keys)))
        ]
        for features in encoder.encode(batch):
            keys.append(features.key.astype(np.float16))
            visuals.append(features.visual.astype(np.float16))
    return np.stack(keys), np.stack(visuals)


def make_needles(
    work: Path, *, footage: Path | None, seed: int, most: int, hay: tuple[np.ndarray, np.ndarray]
) -> Needles:
    """Return at most `most` needles that the encoder tells apart, made or found in `work`."""
    clips, kept_out = split_footage(footage)
    path = work / f"needles_{made_of([*clips, *kept_out])}_{seed}_{most}.npz"
    if not path.exists():
        say("choosing and encoding needles")
        part = path.with_suffix(".part.npz")
        np.savez(part, **_chosen(kept_out, seed=seed, most=most, hay=hay))
        part.rename(path)
    with np.load(path) as found:
        return Needles(**{name: found[name] for name in found.files})


def _chosen(
    kept_out: Sequence[Path], *, seed: int, most: int, hay: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, 1 << 20])
    encoder = choose_encoder("embedded")
    seen = [np.concatenate(pair).astype(np.float32) for pair in zip(*hay, strict=True)]
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("shown_key", "shown_visual", "asked_visual", "asked_key")
    }
    words = []
    for picture, word in _candidates(kept_out):
        shown = iter([jittered(picture, rng=rng) for _ in range(SHOWN)])
        key, visual = encoded(encoder, shown, count=SHOWN)
        features = np.concatenate([key[0], visual[0]]).astype(np.float32)
        if min(float(((features - other) ** 2).sum()) for other in seen) < APART:
            continue
        seen.append(features)
        asked = iter([jittered(picture, rng=rng, least=0.6, most=0.85) for _ in range(ASKED)])
        _, asked_visual = encoded(encoder, asked, count=ASKED)
        known = word if word and encoder.knows(word) else ""
        words.append(known)
        columns["shown_key"].append(key)
        columns["shown_visual"].append(visual)
        columns["asked_visual"].append(asked_visual)
        columns["asked_key"].append(
            encoder.encode_text([known])[0] if known else np.zeros(key.shape[1], dtype=np.float32)
        )
        if len(words) == most:
            break
    return {name: np.stack(rows) for name, rows in columns.items()} | {"words": np.array(words)}


def _candidates(kept_out: Sequence[Path]) -> Iterator[tuple[Image, str]]:
    """Yield whole pictures with a word for each, then frames of clips, then parts of pictures."""
    pictures: list[Image] = []
    for item in PICTURES + MORE_PICTURES + WEB_PICTURES:
        if item.path is not None:
            pictures.append(read(item.path))
            yield small(pictures[-1]), item.words[0]
    for name in SINGLE_PICTURES:
        path = Footage(name, "skimage", f"data/{name}.png", ()).path
        if path is not None:
            pictures.append(read(path))
            yield small(pictures[-1]), ""
    for clip in kept_out:
        for frame in clip_frames(clip)[::CLIP_FPS]:
            yield frame, ""
    for parts in (2, 3, 4):
        for picture in pictures:
            for tile in _tiles(picture, parts=parts):
                yield small(tile), ""


def _tiles(picture: Image, *, parts: int) -> Iterator[Image]:
    rows, columns = picture.shape[0] // parts, picture.shape[1] // parts
    if min(rows, columns) < 64:
        return
    for row in range(parts):
        for column in range(parts):
            top, left = row * rows, column * columns
            yield np.ascontiguousarray(picture[top : top + rows, left : left + columns])


def read(path: Path) -> Image:
    """Return a picture file as RGB."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SystemExit(f"{path} holds no picture")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
