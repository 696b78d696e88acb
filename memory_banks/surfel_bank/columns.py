"""Rows of numbers in arrays that are made once and filled from the front."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Times: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Numbers of N things by name, `[N, ...]` each."""

Form: TypeAlias = Mapping[str, tuple[str, tuple[int, ...]]]
"""The dtype of each column, and the shape of one row of it."""


def surfel_form(*, views: int) -> Form:
    """Return the columns of surfels.

    `position` and `radius` in metres, unit `normal` on the side from which the surfel was seen,
    `colour` in 0..255, `weight`, the times at which it was first and last seen, the `voxel` it was
    born in, and `views`, the rows of views that saw it, oldest first and -1 where there is none.
    """
    return {
        "position": ("<f4", (3,)),
        "normal": ("<f4", (3,)),
        "radius": ("<f4", ()),
        "colour": ("<f4", (3,)),
        "weight": ("<f4", ()),
        "first_s": ("<f8", ()),
        "last_s": ("<f8", ()),
        "voxel": ("<i8", ()),
        "views": ("<i4", (views,)),
    }


VIEW_FORM: Form = {
    "view_id": ("<i8", ()),
    "time_s": ("<f8", ()),
    "rank": ("<i4", ()),
    "camera_to_world": ("<f8", (4, 4)),
    "intrinsics": ("<f8", (3, 3)),
}
"""The columns of views, in the order in which they came; `rank` is that of `rank_of`."""


class Table:
    """Room for `capacity` rows of the columns of `form`; rows stay in the order they came."""

    def __init__(self, form: Form, *, capacity: int) -> None:
        self.size = 0
        self.capacity = capacity
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros((capacity, *shape), dtype=dtype) for name, (dtype, shape) in form.items()
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column, as a view that ends with the next change of the number of rows."""
        return self._columns[name][: self.size]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, filled or not."""
        return sum(column.nbytes for column in self._columns.values())

    def copies(self) -> dict[str, NDArray[Any]]:
        """Return all columns, as they are now."""
        return {name: column[: self.size].copy() for name, column in self._columns.items()}

    def fill(self, columns: Columns) -> None:
        """Take in what `copies` gave; raises ValueError where it is of another form."""
        sizes = {len(columns[name]) for name in self._columns}
        for name, own in self._columns.items():
            given = columns[name]
            if given.dtype != own.dtype or given.shape[1:] != own.shape[1:] or len(sizes) > 1:
                raise ValueError(f"{name} is {given.dtype} {list(given.shape)}")
        self.append({name: columns[name] for name in self._columns})

    def append(self, rows: Columns) -> None:
        """Put rows at the end."""
        start, stop = self.size, self.size + len(next(iter(rows.values())))
        for name, column in self._columns.items():
            column[start:stop] = rows[name]
        self.size = stop

    def keep(self, kept: Mask) -> None:
        """Let go of all rows but those of `kept [N]`."""
        if kept.all():
            return
        start, size = int(kept.argmin()), int(kept.sum())
        for column in self._columns.values():
            column[start:size] = column[start : self.size][kept[start:]]
        self.size = size
