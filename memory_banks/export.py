"""A memory's entries in forms that other programs read: JSON, CSV and NPZ."""

import csv
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from memory_banks.tiered import Memory
from streammem.errors import StoreError, UsageError, one_of
from streammem.names import format_time
from streammem.records import MemoryEntry, Vector

Format = Literal["json", "csv", "npz"]
COLUMNS = (
    "entry_id",
    "source_id",
    "start_s",
    "end_s",
    "mean_s",
    "start",
    "end",
    "count",
    "tier",
    "usage",
    "merged_from",
)


def export_memory(
    memory: Memory, path: Path, format: Format | None = None, *, force: bool = False
) -> None:
    """Write every entry of `memory` to `path`, in the form that its ending names by default.

    JSON and CSV hold times in seconds and as clock times, JSON the sources and gaps too. NPZ
    holds `key [N, D]` and `visual [N, V]` as float16 with the same columns, without pickle. What
    the memory was made with is in JSON and NPZ. A file that exists is replaced only by `force`.
    """
    wanted = path.suffix.lstrip(".").lower() if format is None else format
    if wanted not in get_args(Format):
        raise one_of("export format", wanted, get_args(Format))
    if path.exists() and not force:
        raise UsageError(f"{path} exists; choose another name, or allow overwriting with --force")
    content = {"json": _json, "csv": _csv, "npz": _npz}[wanted](memory)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"export to {path} failed: {error.strerror or error}; choose another place or free "
            "some space"
        ) from error


def _values(entry: MemoryEntry) -> dict[str, Any]:
    """Return the columns of an entry as plain values."""
    clock = {
        "start": format_time(entry.start_s, decimals=3),
        "end": format_time(entry.end_s, decimals=3),
    }
    return {name: clock[name] if name in clock else getattr(entry, name) for name in COLUMNS}


def _json(memory: Memory) -> bytes:
    content = {
        "metadata": memory.metadata(),
        "sources": [dataclasses.asdict(source) for source in memory.sources()],
        "gaps": [dataclasses.asdict(gap) for gap in memory.gaps()],
        "entries": [_values(entry) for entry in memory.entries()],
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _csv(memory: Memory) -> bytes:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for entry in memory.entries():
        ancestry = " ".join(map(str, entry.merged_from))
        table.writerow({**_values(entry), "merged_from": ancestry})
    return text.getvalue().encode()


def _npz(memory: Memory) -> bytes:
    entries = memory.entries()
    parents = max((len(entry.merged_from) for entry in entries), default=0)
    merged_from = np.full((len(entries), parents), -1, dtype=np.int64)
    for row, entry in zip(merged_from, entries, strict=True):
        row[: len(entry.merged_from)] = entry.merged_from
    content = io.BytesIO()
    np.savez_compressed(
        content,
        metadata=np.array(json.dumps(memory.metadata())),
        entry_id=np.array([entry.entry_id for entry in entries], dtype=np.int64),
        source_id=np.array([entry.source_id for entry in entries], dtype=np.str_),
        tier=np.array([entry.tier for entry in entries], dtype=np.str_),
        start_s=np.array([entry.start_s for entry in entries], dtype=np.float64),
        end_s=np.array([entry.end_s for entry in entries], dtype=np.float64),
        mean_s=np.array([entry.mean_s for entry in entries], dtype=np.float64),
        usage=np.array([entry.usage for entry in entries], dtype=np.float64),
        count=np.array([entry.count for entry in entries], dtype=np.int64),
        merged_from=merged_from,
        key=_stacked([entry.key for entry in entries], memory.encoder.dim),
        visual=_stacked([entry.visual for entry in entries], memory.encoder.visual_dim),
    )
    return content.getvalue()


def _stacked(vectors: list[Vector], size: int) -> NDArray[np.float16]:
    """Return the vectors as one array `[N, size]`, N being 0 for a memory that is empty."""
    stacked = np.empty((len(vectors), size), dtype=np.float16)
    for row, vector in zip(stacked, vectors, strict=True):
        row[:] = vector
    return stacked
