"""An entry while a memory holds it, how one is made of a frame, and one of two."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from streammem.records import Frame, Image, MemoryEntry, Tier, Vector

Half: TypeAlias = NDArray[np.float16]

ROW_RAM_BYTES = 1536
"""RAM an entry takes beside its vectors: its row, its links and its places in heap and index."""

ROW_FILE_BYTES = 2048
"""File bytes an entry takes beside its blobs: its small row, and what its blobs' pages waste."""

JPEG_QUALITY = 80


@dataclass(slots=True)
class Row:
    """What the tiers hold of an entry: all but its vectors, its tokens and its thumbnail.

    The vectors lie in the index under `entry_id`; the thumbnail of `thumbnail_bytes` lies in the
    store under `thumbnail_id`, the id that the frame it shows came in with, so that entries of a
    source in the order of these ids are in the order of time. `attention`, `since`, `rarity` and
    `sketch` belong to the way in which long-term memory makes room. The other fields are those of
    `MemoryEntry`. `seen_s` is until when frames were seen that came after the entry and were let go
    of, where there were any: no hole begins before it.
    """

    entry_id: int
    source_id: str
    start_s: float
    end_s: float
    mean_s: float
    count: int
    thumbnail_id: int
    thumbnail_bytes: int
    token_bytes: int = 0
    tier: Tier = "sensory"
    usage: float = 0.0
    pinned: bool = False
    merged_from: tuple[int, ...] = ()
    attention: float = 0.0
    since: int = 0
    rarity: float = 0.0
    sketch: bytes = b""
    seen_s: float = -math.inf


def row_of(frame: Frame, *, entry_id: int, thumbnail_bytes: int, token_bytes: int = 0) -> Row:
    """Return the row of one frame as it came."""
    at = frame.time_s
    return Row(entry_id, frame.source_id, at, at, at, 1, entry_id, thumbnail_bytes, token_bytes)


def join(rows: Sequence[Row], *, new_id: int) -> Row:
    """Return the row of entries of one source as one.

    First and last time survive, the mean time is weighted by count, usage adds up, and the
    thumbnail is that of the entry with most frames, the earliest of equals: the weighted mean lies
    nearest to it.
    """
    count = sum(row.count for row in rows)
    mean_s = sum(row.count * row.mean_s for row in rows) / count
    start_s, end_s = min(row.start_s for row in rows), max(row.end_s for row in rows)
    shown = max(rows, key=lambda row: row.count)
    return Row(
        entry_id=new_id,
        source_id=shown.source_id,
        start_s=start_s,
        end_s=end_s,
        mean_s=min(max(mean_s, start_s), end_s),
        count=count,
        thumbnail_id=shown.thumbnail_id,
        thumbnail_bytes=shown.thumbnail_bytes,
        tier=shown.tier,
        usage=sum(row.usage for row in rows),
        merged_from=tuple(row.entry_id for row in rows),
        attention=sum(row.attention for row in rows),
        seen_s=max(row.seen_s for row in rows),
    )


def mean_direction(vectors: Sequence[Half], *, weights: Sequence[float]) -> Vector:
    """Return the weighted mean of unit vectors `[D]`, brought back to unit length.

    Where they cancel out no direction is left; the one with most weight then stands for all.
    """
    total = sum(weights)
    mean = np.zeros(vectors[0].shape, dtype=np.float64)
    for vector, weight in zip(vectors, weights, strict=True):
        mean += (weight / total) * vector.astype(np.float64)
    length = float(np.sqrt(mean @ mean))
    if length < 1e-6:
        return vectors[int(np.argmax(weights))].astype(np.float32)
    return np.asarray(mean / length, dtype=np.float32)


def record_of(row: Row, *, key: Vector, visual: Vector, tokens: Half | None = None) -> MemoryEntry:
    """Return the entry as others see it; its thumbnail is read on demand from the memory."""
    return MemoryEntry(
        entry_id=row.entry_id,
        source_id=row.source_id,
        start_s=row.start_s,
        end_s=row.end_s,
        mean_s=row.mean_s,
        count=row.count,
        key=key,
        visual=visual,
        tier=row.tier,
        usage=row.usage,
        merged_from=row.merged_from,
        pinned=row.pinned,
        tokens=tokens,
    )


def entry_bytes(*, numbers: int, thumbnail_bytes: int, token_bytes: int = 0) -> int:
    """Return what an entry of `numbers` float16 features costs, in RAM and in the file together."""
    features = 2 * numbers + token_bytes
    return 2 * features + ROW_RAM_BYTES + ROW_FILE_BYTES + thumbnail_bytes


def thumbnail_of(rgb: Image, *, longest_px: int) -> bytes:
    """Return `rgb` as a JPEG of at most `longest_px` on its longest side."""
    height, width, _ = rgb.shape
    shrink = min(1.0, longest_px / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if shrink < 1.0 else rgb
    done, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise ValueError(f"a picture of {width} x {height} cannot be written as JPEG")
    return bytes(jpeg.tobytes())
