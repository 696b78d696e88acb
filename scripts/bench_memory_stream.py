"""What a frame costs in bytes and time, however many came before it, for every strategy.

    .venv/bin/python scripts/bench_memory_stream.py [--quick] [--json] [--frames N]

1. 100,000 frames are pushed into a memory file with a checkpoint every 256, once for each way in
   which long-term memory makes room. After every push the bytes are held against the budget; from
   when the memory is full, the processor time of the last tenth of the frames is held against that
   of the first tenth.
2. 100,000 frames of 32 tokens of 768 numbers are merged to 256 slots by `merge`, and by the
   published loop (MovieChat, arXiv:2307.16449), which computes the similarity of every pair of
   neighbours anew before each merge, token by token. What the loop takes for a frame does not
   change once its slots are full, so it is timed over fewer frames, in turns with ours. A second
   form of it, over one vector a frame in one NumPy product, shows how much is due to the tokens.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
from bench_output import Goals, say, show

from memory_banks.budget import Budget
from memory_banks.changes import Changes
from memory_banks.entries import Row, entry_bytes
from memory_banks.settings import EncoderIdentity, MemoryConfig, Strategy
from memory_banks.tiered import open_memory
from memory_banks.tiers import Tiers
from streammem.records import Features, Frame, SourceInfo

DIM, VISUAL_DIM = 384, 128
BUDGET_MB = 8.0
TENTH = 10
TOKENS, TOKEN_DIM, SLOTS = 32, 768, 256
PUBLISHED_FRAMES, PUBLISHED_TURNS = 24, 5
DENSE_FRAMES = 512


def scenes(count: int, *, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield `key [DIM]` and `visual [VISUAL_DIM]` of frames of 60 scenes that come back."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(60, DIM + VISUAL_DIM)).astype(np.float32)
    scene = 0
    for _ in range(count):
        if rng.random() < 1 / 40:
            scene = int(rng.integers(len(centres)))
        features = centres[scene] + 0.4 * rng.normal(size=DIM + VISUAL_DIM).astype(np.float32)
        key, visual = features[:DIM], features[DIM:]
        yield key / np.linalg.norm(key), visual / np.linalg.norm(visual)


def push_all(strategy: Strategy, *, frames: int, folder: Path) -> dict[str, float]:
    """Push frames into a file; return bytes at most over the budget, and times a frame."""
    encoder = EncoderIdentity("made-up", "r1", DIM, VISUAL_DIM)
    config = MemoryConfig(budget_mb=BUDGET_MB, thumbnail_px=16, consolidation=strategy)
    rgb = np.zeros((12, 16, 3), dtype=np.uint8)
    spent, most, full_at = [], 0, frames
    with open_memory(
        folder / f"{strategy}.smem", encoder=encoder, config=config, mode="write"
    ) as memory:
        memory.begin_source(SourceInfo("a", "a.mp4"), fingerprint="f", sampling_fps=1.0)
        for index, (key, visual) in enumerate(scenes(frames, seed=1)):
            frame, features = Frame("a", index, float(index), rgb), Features(key, visual)
            started = time.process_time()
            evictions = memory.push(frame, features)
            if index % 256 == 255:
                memory.checkpoint()
            spent.append(time.process_time() - started)
            full_at = min(full_at, index if evictions else frames)
            most = max(most, memory.stats().bytes) if index % 16 == 0 or evictions else most
        stats = memory.stats()
    since_full = spent[full_at:]
    tenth = max(1, len(since_full) // TENTH)
    first, last = statistics.mean(since_full[:tenth]), statistics.mean(since_full[-tenth:])
    return {
        f"{strategy}_budget_over_bytes": stats.budget_bytes / most,
        f"{strategy}_ms_a_frame": 1e3 * statistics.mean(since_full),
        f"{strategy}_first_over_last_tenth": first / last,
        f"{strategy}_file_mb": stats.file_bytes / 1e6,
    }


def merge_to_slots(frames: int) -> dict[str, float]:
    """Return what a frame costs in merging to `SLOTS`, in ours and in both forms of the loop."""
    rng = np.random.default_rng(2)
    tokens = list(published_frames(SLOTS + 64, rng=rng))
    keys = [one.mean(axis=0, dtype=np.float32) for one in tokens]
    keys = [one / np.linalg.norm(one) for one in keys]
    ours, ours_bare = Slots(token_bytes=tokens[0].nbytes), Slots(token_bytes=0)
    for key, one in zip(keys, tokens, strict=True):
        ours.take_in(key, one)
        ours_bare.take_in(key, None)
    published = [one.astype(np.float32) for one in tokens[: SLOTS + 1]]
    means, counts = np.stack(keys[: SLOTS + 1]), np.ones(SLOTS + 1)
    walls: dict[str, list[float]] = {name: [] for name in ("ours", "bare", "published", "dense")}
    turns = max(3, frames // 4096)
    each = frames // turns
    for turn in range(turns):
        with timed(walls["ours"], each):
            for place in range(each):
                ours.take_in(keys[place % len(keys)], tokens[place % len(tokens)])
        with timed(walls["bare"], each):
            for place in range(each):
                ours_bare.take_in(keys[place % len(keys)], None)
        with timed(walls["dense"], DENSE_FRAMES):
            for place in range(DENSE_FRAMES):
                means, counts = dense_merge(means, counts)
                means = np.concatenate([means, keys[place % len(keys)][None]])
                counts = np.append(counts, 1.0)
        if turn >= PUBLISHED_TURNS:
            continue
        with timed(walls["published"], PUBLISHED_FRAMES):
            for place in range(PUBLISHED_FRAMES):
                published = published_merge(published)
                published.append(tokens[place].astype(np.float32))
    a_frame = {name: statistics.median(times) for name, times in walls.items()}
    return {
        "merge_us_a_frame": 1e6 * a_frame["ours"],
        "merge_published_over_ours": a_frame["published"] / a_frame["ours"],
        "merge_without_tokens_us_a_frame": 1e6 * a_frame["bare"],
        "merge_dense_over_ours_without_tokens": a_frame["dense"] / a_frame["bare"],
    }


@contextmanager
def timed(walls: list[float], frames: int) -> Iterator[None]:
    """Add to `walls` the seconds that each of `frames` takes."""
    started = time.perf_counter()
    yield
    walls.append((time.perf_counter() - started) / frames)


def published_frames(count: int, *, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield frames of tokens `[TOKENS, TOKEN_DIM]` float16."""
    scene = rng.normal(size=(TOKENS, TOKEN_DIM))
    for _ in range(count):
        if rng.random() < 1 / 20:
            scene = rng.normal(size=(TOKENS, TOKEN_DIM))
        yield (scene + 0.3 * rng.normal(size=scene.shape)).astype(np.float16)


class Slots:
    """The tiers of a memory with room for `SLOTS` entries in long-term memory alone."""

    def __init__(self, *, token_bytes: int) -> None:
        numbers = 2 * TOKEN_DIM
        self._limit = SLOTS * entry_bytes(
            numbers=numbers, thumbnail_bytes=0, token_bytes=token_bytes
        )
        self._tiers = Tiers(
            config=MemoryConfig(sensory_frames=0, working_frames=0, consolidation="merge"),
            budget=Budget(self._limit, 0, 1, 0, 0, 0),
            encoder=EncoderIdentity("made-up", "r1", TOKEN_DIM, TOKEN_DIM),
            changes=Changes(deque(maxlen=0)),
            may_merge=lambda left, right: True,
            source_number=lambda source_id: 1,
            next_id=1,
            state={},
        )

    def take_in(self, key: np.ndarray, tokens: np.ndarray | None) -> None:
        """Take in a frame with its key for both keys, and make room."""
        at = self._tiers.new_id()
        row = Row(at, "a", float(at), float(at), float(at), 1, at, 0)
        self._tiers.add(row, key=key, visual=key, tokens=tokens)
        self._tiers.make_room(self._limit)


def published_merge(frames: list[np.ndarray]) -> list[np.ndarray]:
    """Merge the most similar neighbours after comparing all pairs, as the published loop does."""
    similarities = [float((left @ right.T).mean()) for left, right in pairwise(frames)]
    at = int(np.argmax(similarities))
    return [*frames[:at], (frames[at] + frames[at + 1]) / 2, *frames[at + 2 :]]


def dense_merge(means: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge the neighbours of largest cosine, weighted by count, after comparing all anew."""
    lengths = np.linalg.norm(means, axis=1)
    cosines = (means[:-1] * means[1:]).sum(axis=1) / (lengths[:-1] * lengths[1:])
    at = int(cosines.argmax())
    weights = counts[at : at + 2] / counts[at : at + 2].sum()
    means[at] = weights @ means[at : at + 2]
    counts[at] += counts[at + 1]
    return np.delete(means, at + 1, axis=0), np.delete(counts, at + 1)


def measure(*, quick: bool, frames: int | None = None) -> tuple[dict[str, float], Goals]:
    """Return figures and goals."""
    count = frames or (2_000 if quick else 100_000)
    figures: dict[str, float] = {}
    goals: Goals = {"merge_published_over_ours": (">=", 20.0)}
    with tempfile.TemporaryDirectory(prefix="streammem-bench-") as folder:
        for strategy in get_args(Strategy):
            figures |= push_all(strategy, frames=count, folder=Path(folder))
            goals[f"{strategy}_budget_over_bytes"] = (">=", 1.0)
            goals[f"{strategy}_first_over_last_tenth"] = (">=", round(1 / 1.1, 4))
            say(f"{strategy}: {figures[f'{strategy}_ms_a_frame']:.3f} ms a frame")
    return figures | merge_to_slots(2_000 if quick else 100_000), goals


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2,000 frames")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--frames", type=int, help="frames pushed for each strategy")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parsed()
    show(*measure(quick=arguments.quick, frames=arguments.frames), as_json=arguments.json)
    sys.exit(0)
