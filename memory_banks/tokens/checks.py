"""What a token memory refuses to take in, said before anything of it is kept."""

import numpy as np

from streammem.errors import UsageError
from streammem.records import Vector


def check_matrix(found: Vector, what: str, *, rows: int | None, width: int) -> None:
    """Refuse what is not `[rows, width]`, with any number of rows for None, or not finite."""
    right = found.ndim == 2 and found.shape[1] == width and rows in (None, len(found))
    if not right:
        shape = f"[{'any number' if rows is None else rows}, {width}]"
        raise UsageError(f"{what} must be {shape}, got {list(found.shape)}")
    if not np.isfinite(found).all():
        raise UsageError(f"{what} must be finite; a number that is not would spoil what is read")


def check_selection(selection: Vector, *, rows: int, width: int) -> None:
    """Refuse a selection that is not `[rows, width]` or leaves [0, 1]."""
    check_matrix(selection, "selection", rows=rows, width=width)
    if ((selection < 0) | (selection > 1)).any():
        raise UsageError(
            f"selection must lie in [0, 1], got {selection.min():g} to {selection.max():g}"
        )


def check_shrinkage(shrinkage: Vector, *, rows: int) -> None:
    """Refuse a shrinkage that is not `[rows]` or falls below 1."""
    if shrinkage.shape != (rows,):
        raise UsageError(f"shrinkage must be [{rows}], got {list(shrinkage.shape)}")
    if not (np.isfinite(shrinkage) & (shrinkage >= 1)).all():
        raise UsageError(f"shrinkage must be finite and at least 1, got {shrinkage.min():g}")
