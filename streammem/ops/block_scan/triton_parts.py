# mypy: disable-error-code="import-untyped,no-untyped-def,untyped-decorator"
# Triton carries no types, and its compiler gives every parameter of a kernel its own.
"""What the Triton kernels of the scan share: where tokens lie, and what a decay leaves of them.

Shapes within: Q tokens of a chunk, N state, P headdim; the logarithms are of base 2.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def corner(sequence, channel, strides, tiles, across, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """Return where the first token of a tile lies in `[batch, frames, rows, columns, channels]`."""
    batch = (sequence // tiles).to(tl.int64)
    row = (sequence % tiles // across * TILE_H).to(tl.int64)
    column = (sequence % tiles % across * TILE_W).to(tl.int64)
    return (
        batch * strides[0]
        + row * strides[2]
        + column * strides[3]
        + channel.to(tl.int64) * strides[4]
    )


@triton.jit
def places(token, strides, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """Return how far a tile's tokens `[Q]` lie from its first, int64."""
    frame = (token // (TILE_H * TILE_W)).to(tl.int64)
    row = (token % (TILE_H * TILE_W) // TILE_W).to(tl.int64)
    column = (token % TILE_W).to(tl.int64)
    return frame * strides[1] + row * strides[2] + column * strides[3]


@triton.jit
def load(start, token, strides, length, column, WIDTH, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """Return numbers `[Q, columns]` of a tile's tokens, 0 where there are none."""
    pointers = start + places(token, strides, TILE_H, TILE_W)[:, None] + column[None, :]
    exists = (token < length)[:, None] & (column < WIDTH)[None, :]
    return tl.load(pointers, mask=exists, other=0.0)


@triton.jit
def store(
    start, token, strides, length, column, WIDTH, values,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr,
):  # fmt: skip
    """Write numbers `[Q, columns]` of a tile's tokens."""
    pointers = start + places(token, strides, TILE_H, TILE_W)[:, None] + column[None, :]
    exists = (token < length)[:, None] & (column < WIDTH)[None, :]
    tl.store(pointers, values.to(start.dtype.element_ty), mask=exists)


@triton.jit
def decays(dt, A, clips, chunk, token, strides, length, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """Return what describes the decay in a chunk.

    `dt [Q]`; the logarithm of the decay up to each token, and its clip, `[Q]`; what is left at a
    token of the state before the chunk, and at the chunk's end of what a token wrote, `[Q]`; what
    is left of the state over the whole chunk.
    """
    exists = token < length
    dt = tl.load(dt + places(token, strides, TILE_H, TILE_W), mask=exists, other=0.0)
    dt = dt.to(tl.float32)
    steps = dt * A
    log = tl.cumsum(steps, 0)
    total = tl.sum(steps, 0)
    since = tl.exp2(log)
    until = tl.exp2(tl.minimum(total - log, 0.0))
    through = tl.exp2(total)
    clip = tl.zeros_like(token)
    if clips is not None:
        AREA: tl.constexpr = TILE_H * TILE_W
        Q: tl.constexpr = token.shape[0]
        clip = tl.load(clips + token // AREA, mask=exists, other=-1)
        before = tl.load(clips + (chunk * Q - 1) // AREA, mask=chunk > 0, other=0)
        latest = tl.load(clips + (tl.minimum(chunk * Q + Q, length) - 1) // AREA)
        since = tl.where(clip == before, since, 0.0)
        until = tl.where(clip == latest, until, 0.0)
        through = tl.where(latest == before, through, 0.0)
    return dt, log, clip, since, until, through


@triton.jit
def between(log, clip, SAME: tl.constexpr):
    """Return what is left `[Q, Q]` at the first token of what the second wrote, if it sees it."""
    Q: tl.constexpr = log.shape[0]
    order = tl.arange(0, Q)
    seen = order[:, None] >= order[None, :]
    if not SAME:
        seen = seen & (clip[:, None] == clip[None, :])
    return tl.exp2(tl.where(seen, log[:, None] - log[None, :], float("-inf")))


@triton.jit
def load_state(states, index, n, p, STATE, WIDTH):
    """Return `[N, P]` numbers of state `index`."""
    pointers = states + index.to(tl.int64) * (STATE * WIDTH) + n[:, None] * WIDTH + p[None, :]
    return tl.load(pointers, mask=(n < STATE)[:, None] & (p < WIDTH)[None, :], other=0.0)


@triton.jit
def store_state(states, index, n, p, STATE, WIDTH, values):
    """Write `[N, P]` numbers of state `index`."""
    pointers = states + index.to(tl.int64) * (STATE * WIDTH) + n[:, None] * WIDTH + p[None, :]
    exists = (n < STATE)[:, None] & (p < WIDTH)[None, :]
    tl.store(pointers, values.to(states.dtype.element_ty), mask=exists)
