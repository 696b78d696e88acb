"""What the raster needs of numpy beyond operators."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def whole(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return truth values and whole numbers as int64."""
    return numbers.astype(np.int64)


def single(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32."""
    return numbers.astype(np.float32)


def ceil(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return the next whole numbers, as floats."""
    return np.asarray(np.ceil(numbers))


def column(rows: NDArray[Any], number: int) -> NDArray[Any]:
    """Return one column of `rows [N, D]`, laid out on its own."""
    return np.ascontiguousarray(rows[:, number])


def rays(pixels: NDArray[np.int64], centre: float, focal: float) -> NDArray[np.float32]:
    """Return what the rays of pixels gain on one axis over a depth of 1."""
    return (pixels.astype(np.float32) + np.float32(0.5 - centre)) / np.float32(focal)


def count_up(count: int, like: NDArray[Any]) -> NDArray[np.int64]:
    """Return 0, 1, 2..."""
    return np.arange(count)


def where(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows where `mask [N]` is true."""
    return np.flatnonzero(mask)


def pick(mask: NDArray[np.bool_], yes: float, no: NDArray[Any]) -> NDArray[Any]:
    """Return `yes` where `mask [N]` is true, else `no [N]`."""
    return np.where(mask, no.dtype.type(yes), no)


def repeat(numbers: NDArray[Any], times: NDArray[np.int64]) -> NDArray[Any]:
    """Return each of `numbers [N]` as often as `times [N]` says."""
    return np.repeat(numbers, times)


def bits(numbers: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return whole numbers below 2^31 in the order of `numbers`, float32 and not negative."""
    return numbers.view(np.int32).astype(np.int64)


def floats(order: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the numbers of which these are the `bits`."""
    return order.astype(np.int32).view(np.float32)


def full(count: int, value: int, like: NDArray[Any]) -> NDArray[np.int64]:
    """Return `count` times `value`."""
    return np.full(count, value, dtype=np.int64)


def lower(buffer: NDArray[np.int64], at: NDArray[np.int64], keys: NDArray[np.int64]) -> None:
    """Lower `buffer[at]` to the least of `keys` in place."""
    np.minimum.at(buffer, at, keys)


def join(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Return parts one after the other."""
    return np.concatenate(parts)
