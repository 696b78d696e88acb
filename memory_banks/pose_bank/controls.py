"""Rules that look at no geometry, to measure the others against; and the one that knows it all."""

import numpy as np

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.greedy import choose
from memory_banks.pose_bank.picks import Pick
from memory_banks.pose_bank.records import Slots, Truth
from streammem.errors import UsageError


def recency(held: Slots, *, k: int) -> list[Pick]:
    """Return the newest of `held`, which come newest first."""
    return [Pick(int(slot)) for slot in held[:k]]


def random(columns: Columns, held: Slots, *, k: int, seed: int) -> list[Pick]:
    """Return views drawn without putting back; each new view makes another draw."""
    if not len(held):
        return []
    draws = np.random.default_rng([seed, int(columns.view_id[held].max())])
    return [Pick(int(slot)) for slot in draws.permutation(held)[:k]]


def fixed_offset(
    columns: Columns, held: Slots, *, k: int, now_s: float, offset_s: float
) -> list[Pick]:
    """Return the views nearest to 1, 2, ... `k` times `offset_s` ago, each view once."""
    left = np.ones(len(held), bool)
    picks = []
    for steps in range(1, min(k, len(held)) + 1):
        apart = np.abs(columns.time_s[held] - (now_s - steps * offset_s))
        nearest = int(np.argmin(np.where(left, apart, np.inf)))
        left[nearest] = False
        picks.append(Pick(int(held[nearest])))
    return picks


def oracle(columns: Columns, held: Slots, truth: Truth | None, *, k: int) -> list[Pick]:
    """Return the greedy cover of the pixels that views truly see, the newest of equals."""
    if truth is None:
        raise UsageError("the rule 'oracle' needs the truth; pass truth=Truth(view_ids, seen)")
    row_of = {int(view_id): row for row, view_id in enumerate(truth.view_ids)}
    ids = columns.view_id[held].tolist()
    missing = [view_id for view_id in ids if view_id not in row_of]
    if missing:
        raise UsageError(f"the truth lacks {len(missing)} views that are held, like {missing[0]}")
    seen = truth.seen[[row_of[view_id] for view_id in ids]].reshape(len(ids), truth.seen.shape[1])
    chosen = choose(seen, k=k, penalty=np.zeros(len(ids), np.float32))
    return [Pick(int(held[row]), float(seen[row].mean()), gain) for row, gain in chosen]
