"""What a memory refuses to take in, said before anything of it is kept."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_banks.budget import LEAST_ENTRIES
from memory_banks.entries import Half
from streammem.errors import UsageError
from streammem.records import Vector

UNIT_TOLERANCE = 1e-2
PINNED_SHARE = 1 / 2
STATES_SHARE = 1 / 8
STATE_COPIES = 2
"""States lie in RAM and in the file."""


def unit(vector: Vector, size: int, what: str) -> Vector:
    """Return `vector [size]` if it has unit length."""
    if vector.shape != (size,) or not abs(float(vector @ vector) - 1.0) < UNIT_TOLERANCE:
        raise ValueError(
            f"a {what} must be {size} numbers of unit length, got {list(vector.shape)} of length "
            f"{math.sqrt(float((vector * vector).sum())):.3g}"
        )
    return vector


def half(tokens: NDArray[Any] | None) -> Half | None:
    """Return a frame's tokens as they are kept."""
    if tokens is None:
        return None
    with np.errstate(over="ignore"):
        kept = np.asarray(tokens, dtype=np.float16)
    if not np.isfinite(kept).all():
        raise ValueError("tokens must be finite in float16, whose largest number is 65,504")
    return kept


def check_fits(entry_bytes: int, *, room: int, tokens: Half | None) -> None:
    """Refuse a frame of which not even a few would fit into `room` bytes."""
    if LEAST_ENTRIES * entry_bytes > room:
        token_bytes = 0 if tokens is None else tokens.nbytes
        raise UsageError(
            f"a frame with {token_bytes} bytes of tokens takes {entry_bytes} bytes, and the "
            f"budget leaves {room} for all; pool the tokens to fewer, or raise the budget"
        )


def check_pins(pinned_bytes: int, *, more: int, room: int) -> None:
    """Refuse to pin so much that hardly anything else would be remembered."""
    limit = int(PINNED_SHARE * room)
    if pinned_bytes > limit:
        raise UsageError(
            f"pinning {more} more entries takes {pinned_bytes} bytes for pinned ones, and "
            f"{limit} are the most; unpin some, or raise the budget"
        )


def state_bytes(states: Mapping[str, NDArray[Any]]) -> int:
    """Return what the arrays of a recurrent model take in RAM and file together."""
    return STATE_COPIES * sum(state.nbytes for state in states.values())


def check_states(states: Mapping[str, NDArray[Any]], *, budget_bytes: int) -> None:
    """Refuse arrays that take more than `STATES_SHARE` of the budget, or hold no numbers."""
    for name, state in states.items():
        if state.dtype.kind not in "biuf":
            raise UsageError(f"state {name!r} must hold plain numbers, got {state.dtype}")
    held, limit = state_bytes(states), int(STATES_SHARE * budget_bytes)
    if held > limit:
        raise UsageError(
            f"the states of a model take {held} bytes in RAM and file, and {limit} are the most "
            "of this budget; keep less of them, or raise the budget"
        )
