# mypy: disable-error-code="import-untyped,no-untyped-def,untyped-decorator"
# Triton carries no types, and its compiler gives every parameter of a kernel its own.
"""Triton kernels of the scan's backward pass.

The gradient of the state runs through the chunks from last to first as the state did from first to
last, with C in the place of B and dy in that of x: `span_gradients`, `pass_states` and
`state_gradients` mirror the three kernels of the forward pass and give dx. Once the states before
and the gradients after each chunk are known, chunks are independent: `token_gradients` gives all
else. A program of it adds up several heads of a group in order, so that results never differ.
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
    places,
    store,
    store_state,
)


@triton.jit
def span_gradients(
    dt, A, C, dy, clips, read, through,
    dt_strides, C_strides, dy_strides,
    length, frames, tiles, across, heads, share, chunks,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, DOT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write what all spans but the first add to the state's gradient, and what they leave of it."""
    sequence, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    span = tl.program_id(1) + 1
    state = tl.program_id(0).to(tl.int64) * (tl.num_programs(1) + 1) + span
    p = tl.program_id(2) * BLOCK_P + tl.arange(0, BLOCK_P)
    n = tl.arange(0, BLOCK_N)
    dt += corner(sequence, head, dt_strides, tiles, across, TILE_H, TILE_W)
    C += corner(sequence, head // share, C_strides, tiles, across, TILE_H, TILE_W)
    dy += corner(sequence, head, dy_strides, tiles, across, TILE_H, TILE_W)
    if clips is not None:
        clips += sequence // tiles * frames
    rate = tl.load(A + head).to(tl.float32) * LOG2_E

    dS = tl.zeros([BLOCK_N, BLOCK_P], tl.float32)
    left = 1.0
    end = tl.minimum(span * chunks + chunks, tl.cdiv(length, Q))
    for back in range(end - span * chunks):
        chunk = end - 1 - back
        t = chunk * Q + tl.arange(0, Q)
        _, _, _, since, _, passes = decays(
            dt, rate, clips, chunk, t, dt_strides, length, TILE_H, TILE_W
        )
        dY = load(dy, t, dy_strides, length, p, P, TILE_H, TILE_W).to(DOT)
        Cs = load(C, t, C_strides, length, n, N, TILE_H, TILE_W).to(tl.float32)
        Cs = (Cs * since[:, None]).to(DOT)
        dS = tl.dot(tl.trans(Cs), dY, dS * passes, input_precision=PRECISION)
        left *= passes

    store_state(read, state, n, p, N, P, dS)
    tl.store(through + state, left)


@triton.jit
def state_gradients(
    dt, A, B, C, D, dy, clips, last, dx, ends, first,
    dt_strides, B_strides, C_strides, dy_strides, dx_strides,
    length, frames, tiles, across, heads, share, chunks,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, DOT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write dx, the gradient of the state after each chunk (`ends`) and of the first state.

    `last [sequences x heads, spans, N, P]` holds the gradients of the states after the spans.
    """
    sequence, head, span = tl.program_id(0) // heads, tl.program_id(0) % heads, tl.program_id(1)
    p = tl.program_id(2) * BLOCK_P + tl.arange(0, BLOCK_P)
    n = tl.arange(0, BLOCK_N)
    dt += corner(sequence, head, dt_strides, tiles, across, TILE_H, TILE_W)
    B += corner(sequence, head // share, B_strides, tiles, across, TILE_H, TILE_W)
    C += corner(sequence, head // share, C_strides, tiles, across, TILE_H, TILE_W)
    dy += corner(sequence, head, dy_strides, tiles, across, TILE_H, TILE_W)
    dx += corner(sequence, head, dx_strides, tiles, across, TILE_H, TILE_W)
    if clips is not None:
        clips += sequence // tiles * frames
    rate = tl.load(A + head).to(tl.float32) * LOG2_E

    state = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + span
    dS = load_state(last, state, n, p, N, P).to(tl.float32)
    all_chunks = tl.cdiv(length, Q)
    end = tl.minimum(span * chunks + chunks, all_chunks)
    for back in range(end - span * chunks):
        chunk = end - 1 - back
        t = chunk * Q + tl.arange(0, Q)
        step, log, clip, since, until, through = decays(
            dt, rate, clips, chunk, t, dt_strides, length, TILE_H, TILE_W
        )
        Bs = load(B, t, B_strides, length, n, N, TILE_H, TILE_W).to(DOT)
        Cs = load(C, t, C_strides, length, n, N, TILE_H, TILE_W).to(DOT)
        seen = tl.dot(Cs, tl.trans(Bs), input_precision=PRECISION)
        seen = (seen * between(log, clip, clips is None)).to(DOT)
        state = tl.program_id(0).to(tl.int64) * all_chunks + chunk
        store_state(ends, state, n, p, N, P, dS)
        dY = load(dy, t, dy_strides, length, p, P, TILE_H, TILE_W).to(DOT)
        dX = tl.dot(Bs, dS.to(DOT), input_precision=PRECISION) * until[:, None]
        dX = tl.dot(tl.trans(seen), dY, dX, input_precision=PRECISION) * step[:, None]
        if D is not None:
            dX += dY.to(tl.float32) * tl.load(D + head).to(tl.float32)
        store(dx, t, dx_strides, length, p, P, dX, TILE_H, TILE_W)

        Cs = (Cs.to(tl.float32) * since[:, None]).to(DOT)
        dS = tl.dot(tl.trans(Cs), dY, dS * through, input_precision=PRECISION)

    if (first is not None) and span == 0:
        store_state(first, tl.program_id(0), n, p, N, P, dS)


@triton.jit
def token_gradients(
    x, dt, A, B, C, dy, clips, starts, ends, ddt, dA, dB, dC, dD,
    x_strides, dt_strides, B_strides, C_strides, dy_strides, ddt_strides, dB_strides,
    length, frames, tiles, across, heads, share, adds,
    P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
    TILE_H: tl.constexpr, TILE_W: tl.constexpr, DOT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradients of a chunk's B and C, and its parts of those of dt, A and D.

    Grid (sequences x heads / adds, chunks): a program adds up B's and C's over `adds` heads. What
    comes from tokens within the chunk, from the state before it, and from the state after it is
    gathered in turn, for registers to suffice; hence three parts.
    `dB` and `dC [batch, frames, rows, columns, heads / adds, N]`, both with `dB_strides`;
    `ddt [3 batch, frames, rows, columns, heads]`; `dA [3, sequences x heads, chunks]`;
    `dD [sequences x heads, chunks]`.
    """
    parts = heads // adds
    sequence, part, chunk = tl.program_id(0) // parts, tl.program_id(0) % parts, tl.program_id(1)
    first = part * adds
    n = tl.arange(0, BLOCK_N)
    i = tl.arange(0, Q)
    t = chunk * Q + i
    B += corner(sequence, first // share, B_strides, tiles, across, TILE_H, TILE_W)
    C += corner(sequence, first // share, C_strides, tiles, across, TILE_H, TILE_W)
    dB += corner(sequence, part, dB_strides, tiles, across, TILE_H, TILE_W)
    dC += corner(sequence, part, dB_strides, tiles, across, TILE_H, TILE_W)
    if clips is not None:
        clips += sequence // tiles * frames
    later = i[:, None] >= i[None, :]
    rows = tl.num_programs(0) * adds
    chunks = tl.num_programs(1)
    third = rows // (heads * tiles) * ddt_strides[0].to(tl.int64)

    Bs = load(B, t, B_strides, length, n, N, TILE_H, TILE_W).to(DOT)
    Cs = load(C, t, C_strides, length, n, N, TILE_H, TILE_W).to(DOT)
    seen = tl.dot(Cs, tl.trans(Bs), input_precision=PRECISION)
    dscores = tl.zeros([Q, Q], tl.float32)
    for number in range(adds):
        head = first + number
        row = (sequence * heads + head).to(tl.int64) * chunks + chunk
        a = tl.load(A + head).to(tl.float32)
        start = dt + corner(sequence, head, dt_strides, tiles, across, TILE_H, TILE_W)
        step, log, clip, _, _, _ = decays(
            start, a * LOG2_E, clips, chunk, t, dt_strides, length, TILE_H, TILE_W
        )
        x_ = x + corner(sequence, head, x_strides, tiles, across, TILE_H, TILE_W)
        dy_ = dy + corner(sequence, head, dy_strides, tiles, across, TILE_H, TILE_W)
        dmixing = tl.zeros([Q, Q], tl.float32)
        for block in range(0, P, BLOCK_P):
            p = block + tl.arange(0, BLOCK_P)
            X = load(x_, t, x_strides, length, p, P, TILE_H, TILE_W).to(DOT)
            dY = load(dy_, t, dy_strides, length, p, P, TILE_H, TILE_W).to(DOT)
            dmixing = tl.dot(dY, tl.trans(X), dmixing, input_precision=PRECISION)
        if dD is not None:
            tl.store(dD + row, tl.sum(tl.where(i[:, None] == i[None, :], dmixing, 0.0)))
        dmixing *= between(log, clip, clips is None)
        dscores += dmixing * step[None, :]
        pairs = dmixing * seen
        direct = tl.sum(pairs, 0)
        # A token's own writing does not decay, so it has no part in what follows of it.
        pairs = tl.where(i[:, None] > i[None, :], pairs, 0.0) * step[None, :]
        dlog = tl.sum(tl.where(later, (tl.sum(pairs, 1) - tl.sum(pairs, 0))[:, None], 0.0), 0)
        ddt_ = ddt + corner(sequence, head, ddt_strides, tiles, across, TILE_H, TILE_W)
        at = ddt_ + places(t, ddt_strides, TILE_H, TILE_W)
        tl.store(at, direct + dlog * a, mask=t < length)
        tl.store(dA + row, tl.sum(dlog * step))

    scores = dscores.to(DOT)
    dCs = tl.dot(scores, Bs, input_precision=PRECISION)
    for number in range(adds):
        head = first + number
        row = (sequence * heads + head).to(tl.int64) * chunks + chunk
        a = tl.load(A + head).to(tl.float32)
        start = dt + corner(sequence, head, dt_strides, tiles, across, TILE_H, TILE_W)
        step, _, _, since, _, _ = decays(
            start, a * LOG2_E, clips, chunk, t, dt_strides, length, TILE_H, TILE_W
        )
        dy_ = dy + corner(sequence, head, dy_strides, tiles, across, TILE_H, TILE_W)
        carried = tl.zeros([Q], tl.float32)
        for block in range(0, P, BLOCK_P):
            p = block + tl.arange(0, BLOCK_P)
            dY = load(dy_, t, dy_strides, length, p, P, TILE_H, TILE_W).to(DOT)
            S = load_state(starts, row, n, p, N, P)
            reads = tl.dot(dY, tl.trans(S), input_precision=PRECISION) * since[:, None]
            carried += tl.sum(reads * Cs.to(tl.float32), 1)
            dCs += reads
        dlog = tl.sum(tl.where(later, carried[:, None], 0.0), 0)
        ddt_ = ddt + corner(sequence, head, ddt_strides, tiles, across, TILE_H, TILE_W)
        at = ddt_ + third + places(t, ddt_strides, TILE_H, TILE_W)
        tl.store(at, dlog * a, mask=t < length)
        tl.store(dA + rows * chunks + row, tl.sum(dlog * step))
    store(dC, t, dB_strides, length, n, N, dCs, TILE_H, TILE_W)

    dBs = tl.dot(tl.trans(scores), Cs, input_precision=PRECISION)
    for number in range(adds):
        head = first + number
        row = (sequence * heads + head).to(tl.int64) * chunks + chunk
        a = tl.load(A + head).to(tl.float32)
        start = dt + corner(sequence, head, dt_strides, tiles, across, TILE_H, TILE_W)
        step, _, _, _, until, through = decays(
            start, a * LOG2_E, clips, chunk, t, dt_strides, length, TILE_H, TILE_W
        )
        x_ = x + corner(sequence, head, x_strides, tiles, across, TILE_H, TILE_W)
        kept = tl.zeros([Q], tl.float32)
        passed = 0.0
        for block in range(0, P, BLOCK_P):
            p = block + tl.arange(0, BLOCK_P)
            X = load(x_, t, x_strides, length, p, P, TILE_H, TILE_W).to(DOT)
            dS = load_state(ends, row, n, p, N, P)
            S = load_state(starts, row, n, p, N, P)
            passed += tl.sum(S.to(tl.float32) * dS.to(tl.float32))
            writes = tl.dot(X, tl.trans(dS), input_precision=PRECISION) * until[:, None]
            kept += tl.sum(writes * Bs.to(tl.float32), 1)
            dBs += writes * step[:, None]
        dlog = tl.sum(tl.where(later, 0.0, (kept * step)[:, None]), 0) + through * passed
        ddt_ = ddt + corner(sequence, head, ddt_strides, tiles, across, TILE_H, TILE_W)
        at = ddt_ + 2 * third + places(t, ddt_strides, TILE_H, TILE_W)
        tl.store(at, kept + dlog * a, mask=t < length)
        tl.store(dA + 2 * rows * chunks + row, tl.sum(dlog * step))
    store(dB, t, dB_strides, length, n, N, dBs, TILE_H, TILE_W)
