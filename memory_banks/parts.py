"""The parts of a memory, filled with what its file holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from numpy.typing import NDArray

from memory_banks.books import Books
from memory_banks.budget import Budget
from memory_banks.changes import Changes
from memory_banks.faults import damaged
from memory_banks.progress import Progress
from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.store import Store
from memory_banks.tiers import Tiers
from memory_banks.vectors.index import By

STATES, CELLS = "state", "cells"
"""Kinds of arrays that a file keeps by name: a model's states, and the index's cells."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a memory is made of, and the `metadata` it was found with."""

    books: Books
    progress: Progress
    tiers: Tiers
    states: dict[str, NDArray[Any]]
    metadata: Mapping[str, Any]


def load_parts(
    store: Store,
    *,
    encoder: EncoderIdentity,
    config: MemoryConfig,
    budget: Budget,
    changes: Changes,
) -> Parts:
    """Return the parts with all that `store` holds, of one committed state."""
    with store.reading():
        found = store.metadata()
        books = Books(
            found,
            log=store.evictions(),
            samples=store.history(),
            log_size=config.eviction_log,
        )
        progress = Progress(
            sources=store.sources(),
            gaps=store.gaps(),
            max_hole_s=config.max_hole_s,
            source_limit=budget.sources,
            gap_limit=budget.gaps,
        )
        tiers = Tiers(
            config=config,
            budget=budget,
            encoder=encoder,
            changes=changes,
            may_merge=progress.may_merge,
            source_number=lambda source_id: progress.sources[source_id].number,
            next_id=found.get("next_id", 1),
            state=found.get("consolidation", {}).get(config.consolidation, {}),
        )
        tiers.restore(store.entries(encoder))
        if cells := store.tensors(CELLS):
            tiers.index.set_centroids({by: cells[by] for by in get_args(By)})
        states = store.tensors(STATES)
    held, written = tiers.frames_held, found.get("frames_held", 0)
    if held != written:
        raise damaged(store.path, f"its entries stand for {held} frames of {written}")
    return Parts(books, progress, tiers, states, found)
