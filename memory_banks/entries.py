"""An entry while a memory holds it, how one is made of a frame, and one of two."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streammem.records import Frame, Image, MemoryEntry, Tier, Vector

ROW_RAM_BYTES = 1536
"""RAM an entry takes beside its vectors: its row, its links and its places in heap and index."""

ROW_FILE_BYTES = 2048
"""File bytes an entry takes beside its blobs: its small row, and what its blobs' pages waste."""

JPEG_QUALITY = 80


@dataclass(slots=True)
class Row:
    """What the tiers hold of an entry: all but its vectors and its thumbnail.

    The vectors lie in the index under `entry_id`; the thumbnail of `thumbnail_bytes` lies in the
    store under `thumbnail_id`, the id that the frame it shows came in with, so that entries of a
    source in the order of these ids are in the order of time. The other fields are those of
    `MemoryEntry`.
    """

    entry_id: int
    source_id: str
    start_s: float
    end_s: float
    mean_s: float
    count: int
    thumbnail_id: int
    thumbnail_bytes: int
    tier: Tier = "sensory"
    usage: float = 0.0
    merged_from: tuple[int, ...] = ()


def row_of(frame: Frame, *, entry_id: int, thumbnail_bytes: int) -> Row:
    """Return the row of one frame as it came."""
    at = frame.time_s
    return Row(entry_id, frame.source_id, at, at, at, 1, entry_id, thumbnail_bytes)


def merge(left: Row, right: Row, *, new_id: int) -> Row:
    """Return the row of two neighbours in time as one.

    First and last time survive, the mean time is weighted by count, usage adds up, and the
    thumbnail is that of the side with more frames, the earlier where they are equal: the weighted
    mean lies nearer to it.
    """
    count = left.count + right.count
    mean_s = (left.count * left.mean_s + right.count * right.mean_s) / count
    start_s, end_s = min(left.start_s, right.start_s), max(left.end_s, right.end_s)
    shown = left if left.count >= right.count else right
    return Row(
        entry_id=new_id,
        source_id=left.source_id,
        start_s=start_s,
        end_s=end_s,
        mean_s=min(max(mean_s, start_s), end_s),
        count=count,
        thumbnail_id=shown.thumbnail_id,
        thumbnail_bytes=shown.thumbnail_bytes,
        tier=left.tier,
        usage=left.usage + right.usage,
        merged_from=(left.entry_id, right.entry_id),
    )


def merge_vectors(
    left: NDArray[np.float16], right: NDArray[np.float16], *, counts: tuple[int, int]
) -> Vector:
    """Return the count-weighted mean of two unit vectors `[D]`, brought back to unit length.

    Two that cancel out leave no direction; the one with more frames then stands for both.
    """
    weights = np.asarray(counts, dtype=np.float64) / sum(counts)
    mean = weights[0] * left.astype(np.float64) + weights[1] * right.astype(np.float64)
    length = float(np.sqrt(mean @ mean))
    if length < 1e-6:
        return (left if counts[0] >= counts[1] else right).astype(np.float32)
    return np.asarray(mean / length, dtype=np.float32)


def record_of(row: Row, *, key: Vector, visual: Vector) -> MemoryEntry:
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
    )


def entry_bytes(*, numbers: int, thumbnail_bytes: int) -> int:
    """Return what an entry of `numbers` float16 features costs, in RAM and in the file together."""
    return 2 * (2 * numbers) + ROW_RAM_BYTES + ROW_FILE_BYTES + thumbnail_bytes


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
