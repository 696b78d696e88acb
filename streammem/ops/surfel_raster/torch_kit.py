"""What the raster needs of torch beyond operators."""

import torch
from torch import Tensor


def whole(numbers: Tensor) -> Tensor:
    """Return truth values and whole numbers as int64."""
    return numbers.long()


def single(numbers: Tensor) -> Tensor:
    """Return numbers as float32."""
    return numbers.float()


def ceil(numbers: Tensor) -> Tensor:
    """Return the next whole numbers, as floats."""
    return numbers.ceil()


def column(rows: Tensor, number: int) -> Tensor:
    """Return one column of `rows [N, D]`, laid out on its own."""
    return rows[:, number].contiguous()


def rays(pixels: Tensor, centre: float, focal: float) -> Tensor:
    """Return what the rays of pixels gain on one axis over a depth of 1."""
    return (pixels.float() + (0.5 - centre)) / focal


def count_up(count: int, like: Tensor) -> Tensor:
    """Return 0, 1, 2... on the device of `like`."""
    return torch.arange(count, device=like.device)


def where(mask: Tensor) -> Tensor:
    """Return the rows where `mask [N]` is true."""
    return mask.nonzero()[:, 0]


def pick(mask: Tensor, yes: float, no: Tensor) -> Tensor:
    """Return `yes` where `mask [N]` is true, else `no [N]`."""
    return no.masked_fill(mask, yes)


def repeat(numbers: Tensor, times: Tensor) -> Tensor:
    """Return each of `numbers [N]` as often as `times [N]` says."""
    return numbers.repeat_interleave(times)


def bits(numbers: Tensor) -> Tensor:
    """Return whole numbers below 2^31 in the order of `numbers`, float32 and not negative."""
    return numbers.contiguous().view(torch.int32).long()


def floats(order: Tensor) -> Tensor:
    """Return the numbers of which these are the `bits`."""
    return order.int().view(torch.float32)


def full(count: int, value: int, like: Tensor) -> Tensor:
    """Return `count` times `value`, on the device of `like`."""
    return torch.full((count,), value, dtype=torch.int64, device=like.device)


def lower(buffer: Tensor, at: Tensor, keys: Tensor) -> None:
    """Lower `buffer[at]` to the least of `keys` in place."""
    buffer.scatter_reduce_(0, at, keys, "amin")


def join(parts: list[Tensor]) -> Tensor:
    """Return parts one after the other."""
    return torch.cat(parts)
