"""How the scan's kernels are cut on each card: by hand, for registers to suffice."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU: its architecture (`sm_90`, `gfx942`) and how many multiprocessors it has."""

    name: str
    processors: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a program of a kernel takes: columns of headdim, warps, and stages of loading."""

    headdim: int
    warps: int
    stages: int = 1


@dataclass(frozen=True, slots=True)
class Blocking:
    """The tokens of a chunk, and the blocks of what walks, walks back, and gathers by chunks."""

    chunk: int
    walk: Blocks
    back: Blocks
    gather: Blocks


# By how products are taken, and whether headdim or state is above 64. As wide as ahead-of-time
# compilation finds registers for: tf32x3 takes every operand as two.
_BLOCKING = {
    ("bf16", False): Blocking(64, Blocks(64, 4, 2), Blocks(64, 4, 2), Blocks(32, 8)),
    ("bf16", True): Blocking(64, Blocks(32, 8), Blocks(32, 8), Blocks(32, 8)),
    ("tf32", False): Blocking(64, Blocks(32, 8), Blocks(32, 8), Blocks(32, 8)),
    ("tf32", True): Blocking(32, Blocks(32, 8), Blocks(32, 8), Blocks(32, 8)),
    ("tf32x3", False): Blocking(32, Blocks(16, 8), Blocks(32, 8), Blocks(16, 8)),
    ("tf32x3", True): Blocking(16, Blocks(16, 8), Blocks(16, 8), Blocks(16, 8)),
}
_BLOCKING_OF_CARD = {
    ("sm_90", "bf16", True): Blocking(64, Blocks(32, 4), Blocks(32, 8), Blocks(32, 8)),
}


def precision(dtype: torch.dtype) -> str:
    """Return how products are taken: as torch is told to for float32, tf32 for float16."""
    if dtype == torch.bfloat16:
        return "bf16"
    exact = dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest"
    return "tf32x3" if exact else "tf32"


def blocking(card: Card, precision: str, *, headdim: int, state: int) -> Blocking:
    """Return how the kernels are cut."""
    wide = max(headdim, state) > 64
    return _BLOCKING_OF_CARD.get((card.name, precision, wide)) or _BLOCKING[precision, wide]


def spans(chunks: int, *, walkers: int, processors: int) -> int:
    """Return into how many spans the chunks of each of `walkers` programs are cut.

    One where programs are enough for the card; else as many as make two for each multiprocessor.
    A span of one chunk would cost more to pass on than to scan, so each has two.
    """
    if walkers >= processors:
        return 1
    wanted = -(-2 * processors // walkers)
    length = max(2, -(-chunks // wanted))
    return -(-chunks // length)


def adds(share: int, *, programs: int, processors: int) -> int:
    """Return over how many of a group's `share` heads a program adds up.

    As many as leave two programs for each multiprocessor, of `programs` for every head by itself.
    """
    divisors = (heads for heads in range(share, 1, -1) if share % heads == 0)
    return next((heads for heads in divisors if programs // heads >= 2 * processors), 1)
