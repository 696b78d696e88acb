"""The block scan and local attention on a CPU, beside the forms others run there.

    .venv/bin/python scripts/bench_scan.py [--quick] [--json]

Scan: 8 heads of 64, state 64, one group, float32, in (sequences x tokens). The peer is the torch
path of Mamba-2 in transformers at the best of its chunks of 32, 64 and 128; the native form has
chunks of 64, the torch form of 32.
Both return y and the final state. Figures `native 64x512 both` and the like are how many times
faster ours is, forward (no gradients) or both forward and backward.

    share of matmul   the arithmetic of the chunked form (causal half of a chunk's products) by the
                      seconds of the native forward, over the speed of the best torch.bmm of
                      [512, 64, 64] products measured in the same run
    frame step        a 64-token frame in one call, beside 64 calls of one token with carried state
                      (`selective_state_update` of Mamba-2 in torch, in place), and of our own scan
    slope             of log seconds by log tokens, one sequence of 2,048 to 131,072 tokens
    stream growth     resident memory after 4,000 frames with carried state over that after 400
    local attention   64 frames of 64 tokens, window 8, 8 heads of 64, no gradients: beside one
                      scaled_dot_product_attention over all frames with a banded mask
    local, gradients  the same, forward and backward

Large results live in fresh pages of memory, which costs forms with many of them most. Figures with
`kept` are of a process that keeps what is freed (glibc), as are all after the scans.
Everything takes turns of two calls or more, of which the fastest counts; a ratio is the median
over the rounds.
"""

import argparse
import ctypes
import math
import platform
import resource
import statistics
from functools import partial

import torch
from bench_output import Goals, say, show
from bench_turns import Seconds, take_turns, times_faster
from torch import Tensor
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan
from transformers.utils import logging

from streammem.ops.block_scan import Tiles, block_scan
from streammem.ops.local_attention import local_attention

HEADS, HEADDIM, STATE = 8, 64, 64
SIZES = {"1x4096": (1, 4096), "64x512": (64, 512), "1x32768": (1, 32768)}
PEER_CHUNKS = (32, 64, 128)
CHUNKS = {"native": 64, "torch": 32, "auto": 64}
FORMS = ("native", "torch")
WHOLE = Tiles(1, 1)

Inputs = dict[str, Tensor]


def inputs(sequences: int, tokens: int, *, seed: int = 0) -> Inputs:
    """Return what a scan takes, as videos of one token a frame."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(sequences, tokens, 1, 1, *shape, generator=generator)

    return {
        "x": normal(HEADS, HEADDIM),
        "dt": torch.nn.functional.softplus(normal(HEADS) - 2),
        "A": -torch.exp(torch.rand(HEADS, generator=generator)),
        "B": normal(1, STATE) / STATE**0.5,
        "C": normal(1, STATE),
    }


def ours(given: Inputs, form: str) -> tuple[Tensor, Tensor]:
    return block_scan(**given, layout=WHOLE, chunk=CHUNKS[form], backend=form)


def peer(given: Inputs, chunk: int) -> tuple[Tensor, Tensor]:
    tokens = [given[name].flatten(1, 3) for name in ("x", "dt", "B", "C")]
    x, dt, B, C = tokens
    y, state = mamba2_chunk_scan(x, dt, given["A"], B, C, chunk, return_final_states=True)
    return y, state


def with_gradients(run, given: Inputs) -> None:
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in given.items()}
    y, state = run(leaves)
    dy = given["x"].view_as(y)
    torch.autograd.grad((y, state), list(leaves.values()), (dy, torch.ones_like(state)))


def scans(rounds: int, sizes: dict[str, tuple[int, int]]) -> tuple[dict[str, float], float]:
    """Return the ratios to the peer, and the native forward's FLOP/s on the first size."""
    figures: dict[str, float] = {}
    speed = math.nan
    for size, (sequences, tokens) in sizes.items():
        given = inputs(sequences, tokens)
        say(f"{size}: {sequences} sequences of {tokens} tokens")
        calls = {form: partial(ours, form=form) for form in FORMS}
        calls |= {f"peer {chunk}": partial(peer, chunk=chunk) for chunk in PEER_CHUNKS}
        for part, both in (("forward", False), ("both", True)):
            runs = {
                name: partial(with_gradients, call, given) if both else partial(call, given)
                for name, call in calls.items()
            }
            short = sequences * tokens < 10_000
            with torch.set_grad_enabled(both):
                seconds = take_turns(
                    runs, rounds=4 * rounds if short else rounds, calls=4 if short else 2
                )
            best = min((name for name in runs if "peer" in name), key=lambda n: median(seconds, n))
            for form in FORMS:
                figures[f"{form} {size} {part}"] = times_faster(seconds, best, form)
            figures[f"{best} ms {size} {part}"] = 1e3 * median(seconds, best)
            figures[f"native ms {size} {part}"] = 1e3 * median(seconds, "native")
            if part == "forward" and math.isnan(speed):
                speed = flops(sequences * tokens) / min(seconds["native"])
    return figures, speed


def flops(tokens: int) -> float:
    """Return the arithmetic of the chunked form: half of each chunk's square is never needed."""
    chunk = CHUNKS["native"]
    scores = chunk * STATE / HEADS
    within = chunk * HEADDIM
    states = 2 * 2 * STATE * HEADDIM
    return tokens * HEADS * (scores + within + states)


def matmul_speed() -> float:
    """Return the best FLOP/s of batched products of the size that the scan is made of."""
    one, other, out = (torch.randn(512, 64, 64) for _ in range(3))
    seconds = take_turns({"bmm": lambda: torch.bmm(one, other, out=out)}, rounds=3, calls=20)
    return 2 * 512 * 64**3 / min(seconds["bmm"])


def frame_step(rounds: int) -> dict[str, float]:
    """Return how many times faster one call for a frame is than one for each of its tokens."""
    given = inputs(1, 64)
    frame = {
        name: tensor if name == "A" else tensor.reshape(1, 1, 8, 8, *tensor.shape[4:])
        for name, tensor in given.items()
    }
    first = torch.zeros(1, 1, HEADS, STATE, HEADDIM)
    tokens = [
        {name: tensor if name == "A" else tensor[:, i : i + 1] for name, tensor in given.items()}
        for i in range(64)
    ]

    def at_once() -> None:
        block_scan(**frame, layout=Tiles(8, 8), initial_state=first)

    def by_token() -> None:
        state = first
        for token in tokens:
            _, state = block_scan(**token, layout=WHOLE, initial_state=state)

    def by_update() -> None:
        state = first[:, 0].clone()
        for token in tokens:
            x, dt, B, C = (token[name][:, 0, 0, 0] for name in ("x", "dt", "B", "C"))
            update(state, x, dt, given["A"], B, C)

    with torch.no_grad():
        seconds = take_turns(
            {"frame": at_once, "tokens": by_token, "update": by_update},
            rounds=5 * rounds,
            calls=5,
        )
    return {
        "frame step": times_faster(seconds, "update", "frame"),
        "frame step, own tokens": times_faster(seconds, "tokens", "frame"),
        "frame step ms": 1e3 * median(seconds, "frame"),
    }


def update(state: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Take one token into `state [batch, heads, state, headdim]`, in place, and return y."""
    state.mul_(torch.exp(dt * A)[..., None, None])
    state.addcmul_(B.mT[:, None], (dt[..., None] * x)[:, :, None])
    return (C[:, :, None] @ state).squeeze(2)


def slope(rounds: int, longest: int) -> float:
    """Return the exponent of the seconds in the number of tokens, fitted by least squares."""
    lengths = [2**power for power in range(11, 1 + int(math.log2(longest)))]
    given = inputs(1, longest)
    runs = {
        str(length): lambda length=length: ours(
            {n: t if n == "A" else t[:, :length] for n, t in given.items()}, "auto"
        )
        for length in lengths
    }
    with torch.no_grad():
        seconds = take_turns(runs, rounds=3 * rounds, calls=4)
    x = [math.log(length) for length in lengths]
    y = [math.log(min(seconds[str(length)])) for length in lengths]
    return statistics.linear_regression(x, y).slope


def stream_growth() -> float:
    """Return resident memory after 4,000 frames over that after 400."""
    state, peaks = None, {}
    frame = {
        name: tensor if name == "A" else tensor.reshape(1, 1, 8, 8, *tensor.shape[4:])
        for name, tensor in inputs(1, 64).items()
    }
    with torch.no_grad():
        for index in range(1, 4001):
            _, state = block_scan(**frame, layout=Tiles(2, 2), initial_state=state)
            if index in (400, 4000):
                peaks[index] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peaks[4000] / peaks[400]


def attention(rounds: int) -> dict[str, float]:
    """Return how many times faster local attention is than a banded mask over all frames."""
    frames, tokens, window = 64, 64, 8
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, frames, tokens, HEADS, HEADDIM, generator=generator) for _ in "qkv")
    index = torch.arange(frames).repeat_interleave(tokens)
    gap = index[:, None] - index[None, :]
    band = (gap >= 0) & (gap <= window)

    def local(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return local_attention(q, k, v, window_frames=window)[0]

    def banded(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        heads_first = (tensor.flatten(1, 2).transpose(1, 2) for tensor in (q, k, v))
        y = torch.nn.functional.scaled_dot_product_attention(*heads_first, attn_mask=band)
        return y.transpose(1, 2).unflatten(1, (frames, tokens))

    def backward(run) -> None:
        leaves = [tensor.detach().requires_grad_() for tensor in (q, k, v)]
        torch.autograd.grad(run(*leaves), leaves, v)

    figures = {}
    forms = {"local": local, "banded": banded}
    with torch.no_grad():
        seconds = take_turns(
            {name: partial(run, q, k, v) for name, run in forms.items()}, rounds=rounds, calls=2
        )
    figures["local attention"] = times_faster(seconds, "banded", "local")
    seconds = take_turns(
        {name: partial(backward, run) for name, run in forms.items()}, rounds=rounds, calls=2
    )
    figures["local attention, gradients"] = times_faster(seconds, "banded", "local")
    return figures


def median(seconds: Seconds, name: str) -> float:
    return statistics.median(seconds[name])


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, where it is glibc."""
    if platform.libc_ver()[0] == "glibc":
        mmap_threshold, trim_threshold = -3, -1
        for option in (mmap_threshold, trim_threshold):
            ctypes.CDLL(None).mallopt(option, 2**31 - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    sizes = {"1x4096": SIZES["1x4096"]} if arguments.quick else SIZES
    rounds = 2 if arguments.quick else 3
    growth = stream_growth()
    figures, _ = scans(rounds, sizes)
    say("again, freed memory kept")
    keep_freed_memory()
    kept, speed = scans(rounds, sizes)
    figures |= {f"{name}, kept": value for name, value in kept.items()}
    figures["share of matmul"] = speed / matmul_speed()
    say("frame by frame")
    figures |= frame_step(rounds)
    say("length")
    exponent = slope(rounds, 32_768 if arguments.quick else 131_072)
    figures |= {"slope": exponent, "slope margin": 0.05 - abs(exponent - 1)}
    figures |= {"stream growth": growth, "stream margin": 1.01 - growth}
    say("local attention")
    figures |= attention(rounds)
    goals: Goals = {
        f"{form} {size} {part}": (">=", goal)
        for size in sizes
        for part in ("forward", "both")
        for form, goal in (("native", 6.0), ("torch", 2.0))
    }
    goals |= {
        "frame step": (">=", 10.0),
        "slope margin": (">=", 0.0),
        "stream margin": (">=", 0.0),
        "local attention": (">=", 5.0),
    }
    show(figures, goals, as_json=arguments.json)


if __name__ == "__main__":
    main()
