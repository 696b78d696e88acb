"""Tokens in arrays that are made once and filled from the front, in the order of time."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammem.records import Vector

Floats: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""What is known of N tokens, by name.

`key [N, C]` and `shrinkage [N]`; `mass [N]`, the attention a token received, and `since [N]`, the
number of reads before it came; and for every object `value.NAME [N, V]` and `present.NAME [N]`,
false for tokens that have no value for it.
"""

VALUE, PRESENT = "value.", "present."


class TokenStore:
    """Room for `capacity` tokens, and for their values of each object that is there."""

    def __init__(self, *, capacity: int, key_dim: int, value_dim: int) -> None:
        self.size = 0
        self._capacity, self._value_dim = capacity, value_dim
        self._columns: dict[str, NDArray[Any]] = {
            "key": np.zeros((capacity, key_dim), dtype=np.float32),
            "shrinkage": np.zeros(capacity, dtype=np.float32),
            "mass": np.zeros(capacity, dtype=np.float64),
            "since": np.zeros(capacity, dtype=np.int64),
        }

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """What is held, as views that end with the next change."""
        return rows_of(self._columns, slice(self.size))

    @property
    def objects(self) -> tuple[str, ...]:
        """The names of the objects, sorted."""
        return objects_of(self._columns)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, filled or not."""
        return sum(column.nbytes for column in self._columns.values())

    def value(self, name: str) -> Vector:
        """Return what is held of an object, `[N, V]`."""
        return self._columns[VALUE + name][: self.size]

    def present(self, name: str) -> Mask:
        """Return which tokens have a value for an object, `[N]`."""
        return self._columns[PRESENT + name][: self.size]

    def add_object(self, name: str) -> None:
        """Make room for the values of an object that no token has yet."""
        shape = self._capacity, self._value_dim
        self._columns[VALUE + name] = np.zeros(shape, dtype=np.float32)
        self._columns[PRESENT + name] = np.zeros(self._capacity, dtype=np.bool_)

    def remove_object(self, name: str) -> None:
        """Let go of all values of an object."""
        del self._columns[VALUE + name], self._columns[PRESENT + name]

    def splice(self, start: int, stop: int, tokens: Columns) -> None:
        """Put `tokens` in the place of rows `start..stop`, and move up or down what comes after.

        They have no value for objects of which they bring no columns.
        """
        end = start + len(tokens["key"])
        size = self.size + end - stop
        for name, column in self._columns.items():
            if end != stop:
                column[end:size] = column[stop : self.size]
            column[start:end] = tokens.get(name, 0)
        self.size = size

    def keep(self, kept: Mask) -> None:
        """Let go of all rows but those of `kept [N]`."""
        if kept.all():
            return
        start, size = int(kept.argmin()), int(kept.sum())
        for column in self._columns.values():
            column[start:size] = column[start : self.size][kept[start:]]
        self.size = size


def rows_of(tokens: Columns, rows: slice | Numbers) -> dict[str, NDArray[Any]]:
    """Return some of `tokens`: views of them for a slice, copies for numbers."""
    return {name: column[rows] for name, column in tokens.items()}


def objects_of(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the objects that columns speak of, sorted."""
    return tuple(sorted(name.removeprefix(VALUE) for name in columns if name.startswith(VALUE)))


def alike(tokens: Columns, objects: Iterable[str]) -> list[tuple[Mask, list[str]]]:
    """Return the objects in groups that the same tokens have values for, with these tokens."""
    groups: dict[bytes, tuple[Mask, list[str]]] = {}
    for name in objects:
        present = tokens[PRESENT + name]
        groups.setdefault(present.tobytes(), (present, []))[1].append(name)
    return list(groups.values())
