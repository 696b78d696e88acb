"""The scan in chunks, in plain torch: for any device and dtype, fast on a CPU.

A chunk's tokens see one another through one masked product, and everything earlier through the
state at the chunk's start (arXiv 2405.21060, section 6). What makes it fast: C B^T is taken once
for a group and not for each head; the heads of a group are columns of one product; the state passes
from chunk to chunk in linear time; the work goes by blocks that stay in the cache; and the backward
pass is written out, so that only the states between the chunks are kept for it.

Shapes within: S sequences, K chunks of Q tokens, G groups of R heads, N state, P headdim.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from streammem.ops.block_scan.inputs import ScanInputs

_BLOCK_ELEMENTS = 1 << 17
"""How many numbers `_Decay.between` holds at most, where one chunk does not hold more."""

_NOTHING_LEFT = -60.0
"""The least exponent of a decay: below it lie subnormal numbers, 30 times slower to work with."""


def scan(given: ScanInputs, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Return `(y, final_state)` of `block_scan`."""
    x, dt, A, B, C, D, layout, initial_state, reset = given
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    batch, groups, state_size = x.shape[0], *B.shape[-2:]
    xs, dts, Bs, Cs = (layout.sequences(tokens).to(wide) for tokens in (x, dt, B, C))
    S, length, heads, headdim = xs.shape
    chunk = min(chunk, length)
    if initial_state is None:
        first = xs.new_zeros(S, heads, state_size, headdim)
    else:
        first = initial_state.to(wide).flatten(0, 1)
    y, last = _Scan.apply(
        _chunks(xs, chunk).unflatten(3, (groups, -1)),
        _chunks(dts, chunk).unflatten(3, (groups, -1)),
        A.to(wide).unflatten(0, (groups, -1)),
        _chunks(Bs, chunk),
        _chunks(Cs, chunk),
        first.unflatten(1, (groups, -1)).transpose(2, 3),
        None if reset is None else _clips(reset, S, length, chunk),
    )
    y = y.flatten(3, 4).flatten(1, 2)[:, :length]
    if D is not None:
        y = y + D.to(wide)[:, None] * xs
    last = last.transpose(2, 3).flatten(1, 2).unflatten(0, (batch, -1))
    return layout.grid(y, x.shape).to(x.dtype), last


def _chunks(tokens: Tensor, chunk: int) -> Tensor:
    """Return `[S, length, ...]` as `[S, K, Q, ...]`, padded by zeros: dt = 0 writes nothing."""
    padding = -tokens.shape[1] % chunk
    if padding:
        empty = tokens.new_zeros(tokens.shape[0], padding, *tokens.shape[2:])
        tokens = torch.cat([tokens, empty], 1)
    chunks: Tensor = tokens.unflatten(1, (-1, chunk))
    return chunks


def _clips(reset: Tensor, S: int, length: int, chunk: int) -> Tensor:
    """Return how many clips began within a chunk up to each of its tokens, int64 `[S, K, Q]`."""
    batch, frames = reset.shape
    begins = reset.new_zeros(batch, frames, length // frames)
    begins[:, :, 0] = reset
    return _chunks(begins.flatten(1).repeat_interleave(S // batch, 0), chunk).cumsum(2)


class _Scan(torch.autograd.Function):
    """The scan of sequences cut into chunks."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dt: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        first: Tensor,
        clips: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return y like `x [S, K, Q, G, R, P]`, and the last state like `first [S, G, N, R, P]`."""
        y, last = torch.empty_like(x), torch.empty_like(first)
        keeps = any(ctx.needs_input_grad)
        # [S, K + 1, G, N, R, P]: before each chunk, and after the last.
        states = first.new_empty(len(x), x.shape[1] + 1, *first.shape[1:]) if keeps else None
        for s, k in _blocks(x):
            decay = _decay(dt[s, k], A, None if clips is None else clips[s, k])
            state = first[s] if k.start == 0 else last[s]
            y[s, k], begun, last[s] = _forward(x[s, k], dt[s, k], B[s, k], C[s, k], decay, state)
            if states is not None:
                states[s, k], states[s, k.stop] = begun, last[s]
        ctx.save_for_backward(x, dt, A, B, C, clips, states, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took."""
        x, dt, A, B, C, clips, states, y = ctx.saved_tensors
        dx, ddt, dB, dC = (torch.empty_like(tensor) for tensor in (x, dt, B, C))
        dA, dstate = torch.zeros_like(A), dlast.clone()
        for s, k in reversed(_blocks(x)):
            decay = _decay(dt[s, k], A, None if clips is None else clips[s, k])
            between = states[s, k.start : k.stop + 1]
            dx[s, k], ddt[s, k], dB[s, k], dC[s, k], dlog, dstate[s] = _backward(
                x[s, k], dt[s, k], B[s, k], C[s, k], decay, between, y[s, k], dy[s, k], dstate[s]
            )
            ddt[s, k] += dlog * A
            dA += (dlog * dt[s, k]).sum((0, 1, 2))
        return dx, ddt, dA, dB, dC, dstate, None


def _blocks(x: Tensor) -> list[tuple[slice, slice]]:
    """Return spans of sequences and of their chunks, in order, small enough for the cache."""
    S, K, Q, G, R, _ = x.shape
    fitting = max(1, _BLOCK_ELEMENTS // (Q * Q * G * R))
    chunks = min(K, fitting)
    sequences = max(1, fitting // chunks)
    return [
        (slice(s, min(s + sequences, S)), slice(k, min(k + chunks, K)))
        for s in range(0, S, sequences)
        for k in range(0, K, chunks)
    ]


class _Decay(NamedTuple):
    """What is left, within a chunk, of what was written.

    `between [S, K, G, R, Q, Q]`: at the first token, of the second's writing, if it is seen at all.
    `since [S, K, Q, G, R]`: at a token, of the state at the start.
    `until [S, K, Q, G, R]`: at the end, of a token's writing.
    `through [S, K, G, R]`: at the end, of the state at the start.
    `same_clip [S, K, 1, Q, Q]`: whether two tokens are of one clip; None where all are.
    """

    between: Tensor
    since: Tensor
    until: Tensor
    through: Tensor
    same_clip: Tensor | None


def _decay(dt: Tensor, A: Tensor, clips: Tensor | None) -> _Decay:
    """Return the decays of chunks with `dt [S, K, Q, G, R]`, `A [G, R]` and `clips [S, K, Q]`."""
    log = (dt * A).cumsum(2)
    total = log[:, :, -1:]
    by_head = log.movedim(2, -1)  # [S, K, G, R, Q]
    between = (by_head[..., :, None] - by_head[..., None, :]).clamp_(_NOTHING_LEFT, 0)
    since, until, through = (
        left.clamp(_NOTHING_LEFT, 0).exp() for left in (log, total - log, total[:, :, 0])
    )
    if clips is None:
        return _Decay(between.exp_(), since, until, through, None)
    ended = clips[:, :, -1:]
    return _Decay(
        between.exp_(),
        since.masked_fill(clips[..., None, None] > 0, 0.0),
        until.masked_fill((clips != ended)[..., None, None], 0.0),
        through.masked_fill(ended[..., None] > 0, 0.0),
        clips[:, :, None, :, None] == clips[:, :, None, None, :],
    )


def _causal(scores: Tensor, decay: _Decay) -> Tensor:
    """Return `scores [S, K, G, Q, Q]` with 0 where the second token is not seen by the first."""
    scores = scores.tril()
    return scores if decay.same_clip is None else scores * decay.same_clip


def _forward(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, decay: _Decay, state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, the states at the chunks' starts `[S, K, G, N, R, P]`, and the one at the end.

    `x [S, K, Q, G, R, P]`, `B` and `C [S, K, Q, G, N]`, `state [S, G, N, R, P]`.
    """
    R = x.shape[4]
    B, C = B.transpose(2, 3), C.transpose(2, 3)  # [S, K, G, Q, N]
    x = x * dt[..., None]
    written = _heads(B.mT @ _columns(x * decay.until[..., None]), R)  # [S, K, G, N, R, P]
    starts, state = _pass(written, decay.through, state)
    mixing = decay.between * _causal(C @ B.mT, decay)[:, :, :, None]
    within = (mixing @ _rows(x)).movedim(4, 2)  # [S, K, Q, G, R, P]
    carried = _heads(C @ starts.flatten(4), R).transpose(2, 3)
    return torch.addcmul(within, carried, decay.since[..., None]), starts, state


def _backward(
    x: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    decay: _Decay,
    states: Tensor,
    y: Tensor,
    dy: Tensor,
    dstate: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, of dt beside its decay, of B, C, of dt A, and of the first state.

    `states [S, K + 1, G, N, R, P]` are those between the chunks, `y` and `dy` are like `x`,
    `dstate` is the gradient of the state at the end. All that a token reads fades with its log
    decay, and all that it writes grows against it, so that the gradient of the log decay is
    dy y - d(dt x) dt x, summed over later tokens, and over what the last state has of them.
    """
    R = x.shape[4]
    B, C = B.transpose(2, 3), C.transpose(2, 3)
    xdt = x * dt[..., None]
    dcarried = _columns(dy * decay.since[..., None])
    dends, dstate = _pass(_heads(C.mT @ dcarried, R), decay.through, dstate, backward=True)
    dwritten = _heads(B @ dends.flatten(4), R).transpose(2, 3) * decay.until[..., None]

    dy_rows = _rows(dy).contiguous()
    mixing = decay.between * _causal(C @ B.mT, decay)[:, :, :, None]
    dxdt = dwritten + (mixing.mT @ dy_rows).movedim(4, 2)
    dmixing = (dy_rows @ _rows(xdt).mT).mul_(decay.between)
    dscores = _causal(dmixing.sum(3), decay)  # [S, K, G, Q, Q]
    dC = dscores @ B + dcarried @ states[:, :-1].flatten(4).mT
    dB = dscores.mT @ C + _columns(xdt * decay.until[..., None]) @ dends.flatten(4).mT

    ddt = (dxdt * x).sum(5)  # [S, K, Q, G, R]
    dlog = (dy * y).sum(5) - ddt * dt
    dlog[:, :, -1] += (dends * states[:, 1:]).sum((3, 5))
    dlog = dlog.flip(2).cumsum(2).flip(2)
    return (
        dxdt * dt[..., None],
        ddt,
        dB.transpose(2, 3),
        dC.transpose(2, 3),
        dlog,
        dstate,
    )


def _pass(
    written: Tensor, through: Tensor, state: Tensor, *, backward: bool = False
) -> tuple[Tensor, Tensor]:
    """Return what comes to each chunk `[S, K, G, N, R, P]`, and what leaves the last of them.

    States go from the first chunk to the last, their gradients the other way.
    """
    coming = torch.empty_like(written)
    decay = through[:, :, :, None, :, None]
    chunks = range(written.shape[1])
    for k in reversed(chunks) if backward else chunks:
        coming[:, k] = state
        state = torch.addcmul(written[:, k], decay[:, k], state)
    return coming, state


def _columns(tokens: Tensor) -> Tensor:
    """Return `[S, K, Q, G, R, P]` as `[S, K, G, Q, R P]`: the heads of a group side by side."""
    return tokens.transpose(2, 3).flatten(4)


def _heads(columns: Tensor, R: int) -> Tensor:
    """Return `[..., R P]` as `[..., R, P]`."""
    heads: Tensor = columns.unflatten(-1, (R, -1))
    return heads


def _rows(tokens: Tensor) -> Tensor:
    """Return `[S, K, Q, G, R, P]` as `[S, K, G, R, Q, P]`: each head by itself."""
    return tokens.movedim(2, 4)
