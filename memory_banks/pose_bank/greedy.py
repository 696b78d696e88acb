"""Greedy choice of views that together cover most (a factor 1 - 1/e of the best, at worst)."""

from collections.abc import Iterator

import numpy as np

from memory_banks.pose_bank.records import Floats, Mask


def choose(seen: Mask, *, k: int, penalty: Floats) -> Iterator[tuple[int, float]]:
    """Yield up to `k` rows of `seen [C, P]`, each with the share of all points that it adds.

    Of the rows that add anything, the one with the largest share less its `penalty [C]` is chosen,
    the first of equals. Once none adds anything all points are looked for anew: an exact revisit
    is covered by its first view, and then by the next best. Rows that see nothing are not chosen.
    Sums this small take longer in a BLAS that wakes its threads for them.
    """
    points = np.float32(seen.shape[1])
    left = np.asarray(seen.any(axis=1))
    numbers = seen.astype(np.float32)
    wanted = np.ones(seen.shape[1], np.float32)
    for _ in range(min(k, int(left.sum()))):
        gain = np.einsum("cp,p->c", numbers, wanted) / points
        if not (left & (gain > 0)).any():
            wanted[:] = 1
            gain = np.einsum("cp,p->c", numbers, wanted) / points
        best = int(np.argmax(np.where(left & (gain > 0), gain - penalty, -np.inf)))
        yield best, float(gain[best])
        left[best] = False
        wanted[seen[best]] = 0
