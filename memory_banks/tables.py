"""The tables of a memory file, row by row: how each is written and read."""

import dataclasses
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from memory_banks.changes import Changes
from memory_banks.consolidation.sketches import BITS
from memory_banks.entries import Half, Row
from memory_banks.faults import damaged
from memory_banks.history import Sample
from memory_banks.settings import EncoderIdentity
from memory_banks.state import SourceRecord
from streammem.records import Eviction, SourceInfo, Tier

Vectors = tuple[Half, Half]
DTYPE = "float16"
PLAIN_KINDS = "biuf"
"""Kinds of numbers that an array may hold: truth, whole, unsigned and floating."""

BATCH, COLUMNS_BESIDE = 256, 9
"""Entries that are read at once, and their columns that come before those of `Row`."""

SOUND = f"""
    start_s > -9e999 AND start_s <= mean_s AND mean_s <= end_s AND end_s < 9e999
    AND typeof(count) = 'integer' AND count > 0
    AND typeof(thumbnail_bytes) = 'integer' AND thumbnail_bytes >= 0
    AND tier IN ({", ".join(map(repr, get_args(Tier)))}) AND pinned IN (0, 1)
    AND usage >= 0 AND usage < 9e999 AND attention >= 0 AND attention < 9e999
    AND rarity >= 0 AND rarity < 9e999 AND typeof(since) = 'integer' AND since >= 0
    AND merged_from GLOB '[[]*]' AND merged_from NOT GLOB '*[^][0-9, ]*'
    AND typeof(sketch) = 'blob' AND length(sketch) IN (0, {BITS // 8})
"""
"""What holds of every entry that was written; text is larger than any number, 9e999 infinite."""


def source_of(number: int, source_id: str, info: str, *rest: Any) -> SourceRecord:
    """Return the record that a row of `sources` holds."""
    known = SourceInfo(**json.loads(info))
    *plain, finished = rest
    fingerprint, sampling_fps, created_at, first_s, last_s, frames = plain
    return SourceRecord(
        number=number,
        source_id=source_id,
        uri=known.uri,
        info=known,
        fingerprint=fingerprint,
        sampling_fps=sampling_fps,
        created_at=created_at,
        first_s=first_s,
        last_s=last_s,
        frames=frames,
        finished=bool(finished),
    )


def remove(connection: sqlite3.Connection, changes: Changes) -> None:
    """Delete before anything is written, so that the new takes the pages of the old."""
    for statement, ids in (
        ("DELETE FROM entries WHERE entry_id = ?", changes.removed),
        ("DELETE FROM thumbnails WHERE thumbnail_id = ?", changes.removed_thumbnails),
        ("DELETE FROM sources WHERE number = ?", changes.removed_sources),
    ):
        connection.executemany(statement, [(one,) for one in sorted(ids)])


def write_sources(
    connection: sqlite3.Connection, sources: Iterable[SourceRecord]
) -> dict[str, int]:
    """Write the progress of every source; return their numbers by id."""
    numbers = {}
    for source in sources:
        numbers[source.source_id] = source.number
        connection.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO "
            "UPDATE SET info = excluded.info, sampling_fps = excluded.sampling_fps, "
            "first_s = excluded.first_s, last_s = excluded.last_s, frames = excluded.frames, "
            "finished = excluded.finished",
            (
                source.number,
                source.source_id,
                json.dumps(dataclasses.asdict(source.info)),
                source.fingerprint,
                source.sampling_fps,
                source.created_at,
                source.first_s,
                source.last_s,
                source.frames,
                int(source.finished),
            ),
        )
    return numbers


def read_entries(
    connection: sqlite3.Connection, encoder: EncoderIdentity, *, path: Path | None
) -> Iterator[tuple[Row, Vectors, Half | None]]:
    """Yield every entry with its vectors and its tokens, by the time it was first seen."""
    unsound = connection.execute(f"SELECT entry_id FROM entries WHERE ({SOUND}) IS NOT TRUE")
    for (entry_id,) in unsound:
        raise damaged(path, f"entry {entry_id} is not as written")
    rows = connection.execute(
        "SELECT merged_from, vectors.dtype, vectors.crc, key, visual, "
        "data, tokens.dtype, shape, tokens.crc, "
        "entry_id, source_id, start_s, end_s, mean_s, count, thumbnail_id, thumbnail_bytes, "
        "token_bytes, entries.tier, usage, pinned, NULL, attention, since, rarity, "
        "sketch, seen_s FROM entries JOIN sources ON sources.number = entries.source "
        "LEFT JOIN vectors USING (entry_id) LEFT JOIN tokens USING (entry_id) "
        "ORDER BY thumbnail_id"
    )
    sizes = [2 * encoder.dim, 2 * encoder.visual_dim]
    known: set[int] = set()
    while batch := rows.fetchmany(BATCH):
        ancestors = json.loads(f"[{','.join([found[0] for found in batch])}]")
        for merged_from, found in zip(ancestors, batch, strict=True):
            _, dtype, crc, key, visual, data, *form = found[:COLUMNS_BESIDE]
            row = Row(*found[COLUMNS_BESIDE:])
            row.pinned, row.merged_from = bool(row.pinned), tuple(merged_from)
            if row.entry_id in known:  # where a page lies in the place of another
                raise damaged(path, f"it holds entry {row.entry_id} twice")
            known.add(row.entry_id)
            if dtype != DTYPE or [len(key), len(visual)] != sizes or crc != _crc(key, visual):
                raise damaged(path, f"the features of entry {row.entry_id} are not as written")
            tokens, what = None, f"the tokens of entry {row.entry_id}"
            if row.token_bytes != len(data or b""):
                raise damaged(path, f"{what} are not as written")
            if data is not None:
                tokens = _array(data, *form, path=path, what=what)
            half = np.frombuffer(key, dtype=np.float16), np.frombuffer(visual, dtype=np.float16)
            yield row, half, tokens


def write_entry(connection: sqlite3.Connection, row: Row, *, source: int) -> None:
    """Write a new entry, without its features."""
    connection.execute(
        "REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.entry_id,
            source,
            row.start_s,
            row.end_s,
            row.mean_s,
            row.count,
            row.tier,
            row.usage,
            json.dumps(row.merged_from),
            row.thumbnail_id,
            row.thumbnail_bytes,
            row.token_bytes,
            row.pinned,
            row.attention,
            row.since,
            row.rarity,
            row.sketch,
            row.seen_s,
        ),
    )


def change_entries(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write what may change of entries that are in the file."""
    connection.executemany(
        "UPDATE entries SET tier = ?, usage = ?, pinned = ?, attention = ?, since = ?, "
        "rarity = ?, sketch = ?, seen_s = ? WHERE entry_id = ?",
        [
            (
                row.tier,
                row.usage,
                row.pinned,
                row.attention,
                row.since,
                row.rarity,
                row.sketch,
                row.seen_s,
                row.entry_id,
            )
            for row in rows
        ],
    )


def write_tokens(connection: sqlite3.Connection, entry_id: int, tokens: Half) -> None:
    """Write the tokens of an entry."""
    connection.execute("REPLACE INTO tokens VALUES (?, ?, ?, ?, ?)", (entry_id, *_columns(tokens)))


def write_tensors(
    connection: sqlite3.Connection, kind: str, tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write arrays that the memory keeps by name, instead of all of the same kind before."""
    connection.execute("DELETE FROM tensors WHERE name GLOB ?", (f"{kind}/*",))
    connection.execute(
        "REPLACE INTO metadata VALUES (?, ?)", (f"tensors/{kind}", json.dumps(len(tensors)))
    )
    connection.executemany(
        "INSERT INTO tensors VALUES (?, ?, ?, ?, ?)",
        [(f"{kind}/{name}", *_columns(tensor)) for name, tensor in tensors.items()],
    )


def read_tensors(
    connection: sqlite3.Connection, kind: str, *, path: Path | None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of one kind by name."""
    rows = connection.execute(
        "SELECT name, data, dtype, shape, crc FROM tensors WHERE name GLOB ?", (f"{kind}/*",)
    )
    tensors = {
        name.removeprefix(f"{kind}/"): _array(*columns, path=path, what=f"the numbers of {name}")
        for name, *columns in rows
    }
    written = connection.execute(
        "SELECT value FROM metadata WHERE name = ?", (f"tensors/{kind}",)
    ).fetchone()
    if len(tensors) != (0 if written is None else json.loads(written[0])):
        raise damaged(path, f"it holds {len(tensors)} arrays of {kind}, not as many as written")
    return tensors


def read_history(connection: sqlite3.Connection, *, path: Path | None) -> list[Sample]:
    """Return what was held over time."""
    rows = connection.execute("SELECT * FROM history ORDER BY frames_seen").fetchall()
    if any(type(number) is not int or number < 0 for row in rows for number in row):
        raise damaged(path, "its history is not as written")
    return [Sample(*row) for row in rows]


def write_history(connection: sqlite3.Connection, samples: Iterable[Sample]) -> None:
    """Write what was held over time, instead of what was written before."""
    connection.execute("DELETE FROM history")
    connection.executemany(
        "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(dataclasses.astuple, samples)
    )


def write_vectors(connection: sqlite3.Connection, entry_id: int, vectors: Vectors) -> None:
    """Write the key and the visual key of an entry."""
    key_dim, visual_dim = map(len, vectors)
    key, visual = (vector.tobytes() for vector in vectors)
    connection.execute(
        "REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry_id, DTYPE, key_dim, visual_dim, _crc(key, visual), key, visual),
    )


def _crc(first: bytes, second: bytes) -> int:
    """Return the checksum by which damage to what belongs together shows."""
    return zlib.crc32(second, zlib.crc32(first))


def _columns(tensor: NDArray[Any]) -> tuple[str, str, int, bytes]:
    """Return dtype, shape, checksum and bytes of an array."""
    form = tensor.dtype.str, json.dumps(tensor.shape)
    data = np.ascontiguousarray(tensor).tobytes()
    return *form, _crc("".join(form).encode(), data), data


def _array(
    data: bytes, dtype: str, shape: str, crc: int, *, path: Path | None, what: str
) -> NDArray[Any]:
    """Return the array that was written, or say that `what` are damaged."""
    if crc != _crc(f"{dtype}{shape}".encode(), data) or np.dtype(dtype).kind not in PLAIN_KINDS:
        raise damaged(path, f"{what} are not as written")
    return np.frombuffer(data, dtype=dtype).reshape(json.loads(shape))


def log_evictions(
    connection: sqlite3.Connection, evictions: Sequence[Eviction], *, evicted: int, log_size: int
) -> None:
    """Put the newest `evictions` at the end of the log and drop what is older than `log_size`."""
    numbers = range(evicted - len(evictions) + 1, evicted + 1)
    connection.executemany(
        "REPLACE INTO evictions VALUES (?, ?, ?, ?)",
        [
            (number, gone.entry_id, gone.reason, gone.into)
            for number, gone in zip(numbers, evictions, strict=True)
        ],
    )
    connection.execute("DELETE FROM evictions WHERE number <= ?", (evicted - log_size,))
