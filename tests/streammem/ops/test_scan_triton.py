"""The Triton kernels of the block scan, run by Triton's interpreter and compiled ahead of time.

The interpreter must be asked for before anything imports Triton, and other tests of this process
may have imported it. So kernels run in one process of their own, started when first needed.
"""

import json
import math
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from streammem.ops.block_scan import block_scan
from tests.scan_cases import relative_error, scan_inputs

pytest.importorskip("triton")

ROOT = Path(__file__).parents[3]
TENSORS = ("x", "dt", "A", "B", "C", "D", "initial_state")
NAMES = ("y", "state", *TENSORS)
TOLERANCE = 5e-5
# Chunks are of 64 tokens. With many `processors`, sequences are cut into spans, and the heads of a
# group are added up by several programs. Little decay lets a span, or a clip, tell on the next.
CASES: dict[str, dict[str, Any]] = {
    "one token": dict(frames=1, rows=1, columns=1, tile=(1, 1)),
    "63 tokens": dict(frames=7, rows=3, columns=3, tile=(3, 3)),
    "100 tokens": dict(frames=4, rows=5, columns=5, tile=(5, 5), headdim=32, state=64),
    "500 tokens": dict(frames=20, rows=5, columns=5, tile=(5, 5)),
    "500 tokens in spans": dict(
        frames=20, rows=5, columns=5, tile=(5, 5), decay=0.02, processors=4
    ),
    "tiles of one": dict(batch=2, frames=70, rows=2, columns=1, tile=(1, 1)),
    "odd grid": dict(frames=3, rows=4, columns=9, tile=(2, 3)),
    "groups": dict(frames=5, rows=2, heads=6, groups=2, processors=999),
    "a group for each head": dict(frames=5, rows=2, heads=3, groups=3),
    "partial sums": dict(frames=20, rows=2, columns=2, heads=4, processors=2),
    "odd dimensions": dict(frames=18, rows=2, columns=2, headdim=5, state=24),
    "wide": dict(frames=5, rows=2, columns=2, headdim=128, state=128),
    "resets": dict(batch=2, frames=18, rows=2, columns=4, decay=0.02, resets=(0, 1, 9, 10)),
    "resets in spans": dict(
        batch=2,
        frames=36,
        rows=2,
        columns=4,
        tile=(2, 4),
        decay=0.02,
        resets=(17, 18),
        processors=16,
    ),
    "views": dict(batch=2, frames=18, rows=4, columns=2, views=True),
    "nothing optional": dict(frames=20, rows=2, columns=2, optional=False),
    "nothing optional in spans": dict(
        decay=0.02, frames=65, rows=2, columns=2, optional=False, processors=8
    ),
    "strong decay": dict(frames=33, rows=2, columns=2, decay=30.0),
}


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable[..., Any]]:
    """Yield what calls a function in a process whose Triton interprets kernels."""
    spawn = multiprocessing.get_context("spawn")
    with mock.patch.dict(os.environ, {"TRITON_INTERPRET": "1"}):
        pool = ProcessPoolExecutor(1, mp_context=spawn)
        pool.submit(int).result()
    with pool:
        yield lambda function, *args, **kwargs: pool.submit(function, *args, **kwargs).result()


def errors(
    *,
    processors: int = 1,
    resets: tuple[int, ...] = (),
    views: bool = False,
    optional: bool = True,
    dtype: torch.dtype = torch.float32,
    **shape: Any,
) -> dict[str, float]:
    """Return how far outputs and gradients are from those of the recurrence in float64."""
    from streammem.ops.block_scan import triton
    from streammem.ops.block_scan.triton_blocks import Card

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    inputs = scan_inputs(**shape, dtype=dtype, gradients=True)
    truth = {
        name: part.detach().double().requires_grad_() if isinstance(part, Tensor) else part
        for name, part in inputs.items()
    }
    for given in (inputs, truth):
        if resets:
            batch, frames = given["x"].shape[:2]
            given["reset"] = torch.zeros(batch, frames, dtype=torch.bool)
            given["reset"][-1, list(resets)] = True
        if not optional:
            given["D"] = given["initial_state"] = None
    with mock.patch.object(triton, "card", lambda device: Card("interpreter", processors)):
        got = outcome(inputs, "triton", views=views)
    want = outcome(truth, "naive")
    assert (got["y"].dtype, got["state"].dtype) == (dtype, torch.float32)
    return {name: deviation(got[name], want[name]) for name in want}


def outcome(inputs: dict[str, Any], backend: str, *, views: bool = False) -> dict[str, Tensor]:
    """Return y, the final state, and the gradients of a fixed mixture of both."""
    given = dict(inputs)
    if views:
        given["x"] = inputs["x"].movedim(4, 0).contiguous().movedim(0, 4)
        packed = torch.cat([inputs["B"], inputs["C"], inputs["C"]], -1)
        given["B"], given["C"], _ = packed.chunk(3, -1)
        given["dt"] = inputs["dt"].transpose(1, 3).contiguous().transpose(1, 3)
    y, state = block_scan(**given, backend=backend)
    loss = sum(
        (part.double().flatten() * torch.linspace(-1, 1, part.numel()).double()).sum()
        for part in (y, state)
    )
    leaves = {name: inputs[name] for name in TENSORS if inputs[name] is not None}
    assert isinstance(loss, Tensor)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return {"y": y, "state": state, **dict(zip(leaves, gradients, strict=True))}


def deviation(got: Tensor, truth: Tensor) -> float:
    """Return the relative error, infinite where a number is not finite."""
    return relative_error(got, truth) if bool(torch.isfinite(got).all()) else math.inf


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kernels_equal_the_recurrence(
    interpreted: Callable[..., dict[str, float]], case: dict[str, Any]
) -> None:
    found = interpreted(errors, **case)
    assert {name: error for name, error in found.items() if error > TOLERANCE} == {}
    optional = case.get("optional", True)
    assert set(found) == set(NAMES) - (set() if optional else {"D", "initial_state"})


def test_float16_is_rounded_once(interpreted: Callable[..., dict[str, float]]) -> None:
    found = interpreted(errors, frames=20, rows=2, columns=2, dtype=torch.float16)
    assert found["state"] < TOLERANCE
    assert max(found.values()) < 1e-3


def split_and_whole(cuts: tuple[int, ...]) -> tuple[float, float]:
    """Return how far y and the last state of a scan in parts are from those of the whole."""
    torch.set_num_threads(1)
    inputs = scan_inputs(frames=20, rows=2, columns=2)
    whole, end = block_scan(**inputs, backend="triton")
    state, outputs = inputs.pop("initial_state"), []
    for start, stop in zip((0, *cuts), (*cuts, 20), strict=True):
        part = {
            name: tensor[:, start:stop] if name in ("x", "dt", "B", "C") else tensor
            for name, tensor in inputs.items()
        }
        y, state = block_scan(**part, initial_state=state, backend="triton")
        outputs.append(y)
    return deviation(torch.cat(outputs, 1), whole), deviation(state, end)


def test_a_stream_continues_where_it_was_cut(interpreted: Callable[..., Any]) -> None:
    assert max(interpreted(split_and_whole, (1, 2, 18))) < 1e-6


def gradient_of_a_sum() -> float:
    """Return the error of dx where dy is one number, expanded, and the state is not used."""
    torch.set_num_threads(1)
    inputs = scan_inputs(frames=5, gradients=True)
    got, want = (
        torch.autograd.grad(block_scan(**inputs, backend=backend)[0].double().sum(), inputs["x"])
        for backend in ("triton", "naive")
    )
    return deviation(got[0], want[0])


def test_gradient_of_a_sum(interpreted: Callable[..., float]) -> None:
    assert interpreted(gradient_of_a_sum) < TOLERANCE


def test_sequences_are_cut_only_where_programs_are_few() -> None:
    from streammem.ops.block_scan.triton_blocks import spans

    assert spans(64, walkers=132, processors=132) == 1
    assert spans(64, walkers=8, processors=132) == 32
    assert spans(64, walkers=131, processors=132) == 3
    assert spans(1, walkers=1, processors=132) == 1


def test_heads_are_added_up_by_as_few_programs_as_fill_the_card() -> None:
    from streammem.ops.block_scan.triton_blocks import adds

    assert adds(6, programs=6000, processors=100) == 6
    assert adds(6, programs=600, processors=100) == 3
    assert adds(6, programs=300, processors=100) == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (dict(), "the Triton kernels run on a GPU, x is on cpu"),
        (dict(dtype=torch.float64), "take float32, bfloat16, float16, x is float64"),
        (dict(state=129), "up to 128, got a headdim of 16 and a state of 129"),
    ],
)
def test_what_kernels_cannot_scan_is_refused(shape: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        block_scan(**scan_inputs(**shape), backend="triton")


def test_the_scan_needs_no_triton() -> None:
    code = "import sys; sys.modules['triton'] = None; import streammem.ops.block_scan"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_kernel_over_its_limit_is_named() -> None:
    script = [sys.executable, "scripts/compile_kernels.py", "--quick", "--targets", "sm_90"]
    done = subprocess.run(
        [*script, "--only", "pass_states", "--spill-limit", "-1", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "over the limit: pass_states (bfloat16-64x64, sm_90): 1 bytes of spills" in done.stderr
    left = json.loads(done.stdout)["figures"]
    assert left["sm_90_bfloat16-64x64_pass_states_spills_left"] == -1
    assert left["sm_90_bfloat16-64x64_pass_states_shared_left"] > 0
