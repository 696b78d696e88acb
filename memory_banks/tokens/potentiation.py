"""What stands for many tokens: prototypes by usage, potentiated (XMem, arXiv:2207.07115)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_banks.tokens.affinity import similarity
from memory_banks.tokens.store import PRESENT, VALUE, Columns, Floats, alike, objects_of, rows_of
from streammem.records import Vector


def prototypes(
    candidates: Columns, selection: Vector, usage: Floats, *, count: int
) -> dict[str, NDArray[Any]]:
    """Return the `count` tokens of highest `usage [N]`, or all of fewer, in their order.

    Of equal ones the earliest are taken. Each keeps its own key. Its shrinkage, and its value for
    each object it has one for, become means over the candidates, over those with such a value for
    an object, weighted by the softmax of their similarity to the prototype as a query with its
    own `selection [N, C]`.

    Each also goes on with the attention it received and the reads it lived through: what a token
    attracts is up to its key, and that stays. To begin at nothing would make the newest prototypes
    look unused, and the next to be let go.
    """
    rows = np.sort(np.argsort(-usage, kind="stable")[:count])
    made = rows_of(candidates, rows)
    key, shrinkage = candidates["key"], candidates["shrinkage"]
    similar = similarity(key, shrinkage, key[rows], selection[rows])  # [P, N]
    made["shrinkage"] = _softmax(similar) @ shrinkage
    for present, names in alike(candidates, objects_of(candidates)):
        weights = _softmax(similar[np.ix_(present[rows], present)]).astype(np.float32)
        for name in names:
            made[VALUE + name][made[PRESENT + name]] = weights @ candidates[VALUE + name][present]
    return made


def _softmax(scores: Floats) -> Floats:
    if scores.size == 0:
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
