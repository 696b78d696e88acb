# mypy: disable-error-code="import-untyped,no-untyped-def,untyped-decorator"
# Triton carries no types, and its compiler gives every parameter of a kernel its own.
"""Triton kernels of the scan's forward pass.

A program walks a span of chunks of one head with the state in registers, as in arXiv 2405.21060,
section 6. Where tiles are few, sequences are cut into several spans: `span_states` gathers what
each span writes, `pass_states` passes it on from span to span, and `scan_spans` walks again from
the true states. Where tiles are many, a span is a whole sequence and `scan_spans` does all.

Grids: (sequences x heads, spans, blocks of headdim) for those that walk.
"""

import triton
import triton.language as tl

from streammem.ops.block_scan.triton_parts import (
    LOG2_E,
    between,
    corner,
    decays,
    load,
    load_state,
    store,
    store_state,
)


@triton.jit
def span_states(
    x, dt, A, B, clips, written, through,
    x_strides, dt_strides, B_strides,
    length, frames, tiles, across, heads, share, chunks,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, DOT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write what a span of `chunks` chunks adds to the state, and what it leaves of it."""
    sequence, head, span = tl.program_id(0) // heads, tl.program_id(0) % heads, tl.program_id(1)
    state = tl.program_id(0).to(tl.int64) * (tl.num_programs(1) + 1) + span
    p = tl.program_id(2) * BLOCK_P + tl.arange(0, BLOCK_P)
    n = tl.arange(0, BLOCK_N)
    x += corner(sequence, head, x_strides, tiles, across, TILE_H, TILE_W)
    dt += corner(sequence, head, dt_strides, tiles, across, TILE_H, TILE_W)
    B += corner(sequence, head // share, B_strides, tiles, across, TILE_H, TILE_W)
    if clips is not None:
        clips += sequence // tiles * frames
    rate = tl.load(A + head).to(tl.float32) * LOG2_E

    S = tl.zeros([BLOCK_N, BLOCK_P], tl.float32)
    left = 1.0
    for chunk in range(span * chunks, span * chunks + chunks):
        t = chunk * Q + tl.arange(0, Q)
        step, _, _, _, until, passes = decays(
            dt, rate, clips, chunk, t, dt_strides, length, TILE_H, TILE_W
        )
        X = load(x, t, x_strides, length, p, P, TILE_H, TILE_W).to(DOT)
        Bs = load(B, t, B_strides, length, n, N, TILE_H, TILE_W).to(tl.float32)
        Bs = (Bs * (until * step)[:, None]).to(DOT)
        S = tl.dot(tl.trans(Bs), X, S * passes, input_precision=PRECISION)
        left *= passes

    store_state(written, state, n, p, N, P, S)
    tl.store(through + state, left)


@triton.jit
def pass_states(
    states, through, first, spans, SIZE: tl.constexpr, BLOCK: tl.constexpr, BACKWARDS: tl.constexpr
):
    """Turn what each span adds into the state before it, in place; `first` is before the first.

    `states [sequences x heads, spans, SIZE]`; grid (sequences x heads, blocks of SIZE).
    `BACKWARDS` passes gradients from the last span to the first.
    """
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = place < SIZE
    row = tl.program_id(0).to(tl.int64)
    S = tl.zeros([BLOCK], tl.float32)
    if first is not None:
        S = tl.load(first + row * SIZE + place, mask=real, other=0.0).to(tl.float32)
    for step in range(spans):
        span = row * spans + (spans - 1 - step if BACKWARDS else step)
        at = states + span * SIZE + place
        last = step == spans - 1
        added = tl.load(at, mask=real & ~last, other=0.0)
        left = tl.load(through + span, mask=~last, other=0.0)
        tl.store(at, S, mask=real)
        S = S * left + added


@triton.jit
def scan_spans(
    x, dt, A, B, C, D, clips, first, y, starts, last,
    x_strides, dt_strides, B_strides, C_strides, y_strides,
    length, frames, tiles, across, heads, share, chunks,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, DOT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write y, the state before each chunk (`starts`, if wanted) and the last state.

    `first [sequences x heads, spans, N, P]`, or None for zeros.
    """
    sequence, head, span = tl.program_id(0) // heads, tl.program_id(0) % heads, tl.program_id(1)
    p = tl.program_id(2) * BLOCK_P + tl.arange(0, BLOCK_P)
    n = tl.arange(0, BLOCK_N)
    x += corner(sequence, head, x_strides, tiles, across, TILE_H, TILE_W)
    y += corner(sequence, head, y_strides, tiles, across, TILE_H, TILE_W)
    dt += corner(sequence, head, dt_strides, tiles, across, TILE_H, TILE_W)
    B += corner(sequence, head // share, B_strides, tiles, across, TILE_H, TILE_W)
    C += corner(sequence, head // share, C_strides, tiles, across, TILE_H, TILE_W)
    if clips is not None:
        clips += sequence // tiles * frames
    rate = tl.load(A + head).to(tl.float32) * LOG2_E

    S = tl.zeros([BLOCK_N, BLOCK_P], tl.float32)
    if first is not None:
        state = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + span
        S = load_state(first, state, n, p, N, P).to(tl.float32)
    all_chunks = tl.cdiv(length, Q)
    for chunk in range(span * chunks, tl.minimum(span * chunks + chunks, all_chunks)):
        t = chunk * Q + tl.arange(0, Q)
        step, log, clip, since, until, through = decays(
            dt, rate, clips, chunk, t, dt_strides, length, TILE_H, TILE_W
        )
        Bs = load(B, t, B_strides, length, n, N, TILE_H, TILE_W).to(DOT)
        Cs = load(C, t, C_strides, length, n, N, TILE_H, TILE_W).to(DOT)
        seen = tl.dot(Cs, tl.trans(Bs), input_precision=PRECISION)
        seen = (seen * between(log, clip, clips is None) * step[None, :]).to(DOT)
        if starts is not None:
            state = tl.program_id(0).to(tl.int64) * all_chunks + chunk
            store_state(starts, state, n, p, N, P, S)
        X = load(x, t, x_strides, length, p, P, TILE_H, TILE_W).to(DOT)
        Y = tl.dot(Cs, S.to(DOT), input_precision=PRECISION) * since[:, None]
        Y = tl.dot(seen, X, Y, input_precision=PRECISION)
        if D is not None:
            Y += X.to(tl.float32) * tl.load(D + head).to(tl.float32)
        store(y, t, y_strides, length, p, P, Y, TILE_H, TILE_W)

        Bs = (Bs.to(tl.float32) * (until * step)[:, None]).to(DOT)
        S = tl.dot(tl.trans(Bs), X, S * through, input_precision=PRECISION)

    if span == tl.num_programs(1) - 1:
        store_state(last, tl.program_id(0), n, p, N, P, S)
