"""Compile every Triton kernel for GPUs that need not be here, and hold it against its limits.

    .venv/bin/python scripts/compile_kernels.py [--quick] [--json] [--targets sm_80 sm_90 gfx942]
        [--only KERNEL] [--spill-limit BYTES]

What is compiled is what runs: launches are planned on the meta device. Every kernel must fit into
the shared memory of its card; in the configuration that matters most, bfloat16 with a headdim and
a state of 64, it must also not spill more than the card's limit. Exits with 1 and names the
kernels that are over. No driver is needed. `--quick` compiles that configuration alone, for
NVIDIA's cards.
"""

import argparse
import contextlib
import io
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import triton
from bench_output import Goals, say, show
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from streammem.ops.block_scan import Tiles
from streammem.ops.block_scan.triton_blocks import Card
from streammem.ops.block_scan.triton_launch import Inputs, Launch, Plan

KIB = 1024
POINTERS = {torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.int32: "*i32"}


@dataclass(frozen=True, slots=True)
class Target:
    """A GPU, and what a kernel may take of it: bytes of shared memory, bytes of stored spills."""

    name: str
    compiler: GPUTarget
    processors: int
    shared: int
    spills: int


TARGETS = (
    Target("sm_80", GPUTarget("cuda", 80, 32), 108, 163 * KIB, 64),
    Target("sm_90", GPUTarget("cuda", 90, 32), 132, 227 * KIB, 0),
    Target("gfx942", GPUTarget("hip", "gfx942", 64), 304, 64 * KIB, 64),
)


@dataclass(frozen=True, slots=True)
class Case:
    """What kernels are compiled for; `exact` takes products of float32 as exactly as can be."""

    dtype: torch.dtype
    headdim: int
    state: int
    resets: bool = False
    exact: bool = False
    limited: bool = False

    def __str__(self) -> str:
        words = [str(self.dtype).removeprefix("torch."), f"{self.headdim}x{self.state}"]
        return "-".join(words + ["resets"] * self.resets + ["exact"] * self.exact)


QUICK = (
    Case(torch.bfloat16, 64, 64, limited=True),
    Case(torch.bfloat16, 64, 64, limited=True, resets=True),
)
ALL = (
    *QUICK,
    *(Case(torch.bfloat16, *sizes) for sizes in ((16, 16), (64, 128), (128, 128))),
    *(
        Case(torch.float32, size, size, exact=exact)
        for size in (64, 128)
        for exact in (False, True)
    ),
)


def scan_launches(case: Case, card: Card) -> Iterator[Launch]:
    """Yield every launch of the block scan, forward and backward, for four tiles of 4096 tokens."""
    grid, heads = (1, 64, 16, 16), 8

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    x = empty(*grid, heads, case.headdim, dtype=case.dtype)
    B = empty(*grid, 1, case.state, dtype=case.dtype)
    dt, A = empty(*grid, heads), empty(heads)
    state = empty(1, 4, heads, case.state, case.headdim)
    clips = empty(*grid[:2], dtype=torch.int32) if case.resets else None
    plan = Plan(Inputs(x, dt, A, B, B, A, state, clips, Tiles(8, 8)), card)
    states, sums = plan.chunk_states(), empty(plan.rows, plan.chunks)
    yield from plan.forward(x, states, state)
    yield from plan.backward(x, state, x, states, state)
    yield plan.gather(x, states, states, dt, sums, B, B, sums)


LAUNCHES = (scan_launches,)
"""Every op that has kernels."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a compiled kernel takes: registers of a thread, bytes of stored spills and shared."""

    registers: int
    spills: int
    shared: int


def source(launch: Launch) -> ASTSource:
    """Return a kernel with the types that Triton would find when it is launched."""
    constants: dict[tuple[int, ...], Any] = {}
    aligned: dict[tuple[int, ...], list[list[Any]]] = {}

    def typed(value: Any, *path: int, constant: bool = False) -> Any:
        if isinstance(value, tuple):
            return tuple(typed(part, *path, index) for index, part in enumerate(value))
        if isinstance(value, torch.Tensor):
            aligned[path] = [["tt.divisibility", 16]]
            return POINTERS[value.dtype]
        if constant or value is None or value == 1:
            constants[path] = value
            return "constexpr"
        if value % 16 == 0:
            aligned[path] = [["tt.divisibility", 16]]
        return "i32" if value < 2**31 else "i64"

    types = {
        parameter.name: typed(
            launch.arguments[parameter.name], index, constant=parameter.is_constexpr
        )
        for index, parameter in enumerate(launch.kernel.params)
    }
    return ASTSource(launch.kernel, types, constants, aligned)


def compiled(launch: Launch, target: Target) -> Usage:
    """Compile for a target and return what the kernel takes of it."""
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        kernel = triton.compile(
            source(launch),
            target=target.compiler,
            options={"num_warps": launch.warps, "num_stages": launch.stages},
        )
    if target.compiler.backend == "hip":
        text = kernel.asm["amdgcn"]
        registers = _number(r"\.vgpr_count:\s+(\d+)", text)
        spills = 4 * _number(r"\.vgpr_spill_count:\s+(\d+)", text)
    else:
        text = log.getvalue()
        registers = _number(r"Used (\d+) registers", text)
        spills = _number(r"(\d+) bytes spill stores", text)
    return Usage(registers, spills, kernel.metadata.shared)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"the compiler's report says nothing of {pattern!r}: {text[:500]}")
    return int(found[1])


def headroom(usage: Usage, target: Target, case: Case) -> dict[str, int]:
    """Return how many bytes are left of each limit."""
    left = {"shared": target.shared - usage.shared}
    return left | ({"spills": target.spills - usage.spills} if case.limited else {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [target.name for target in TARGETS]
    parser.add_argument("--quick", action="store_true", help="the main configuration alone")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--targets", nargs="+", choices=names, help="cards (default: all)")
    parser.add_argument("--only", metavar="KERNEL", help="compile this kernel alone")
    parser.add_argument("--spill-limit", type=int, metavar="BYTES", help="for every card")
    args = parser.parse_args()
    chosen = args.targets or (names[:2] if args.quick else names)
    figures: dict[str, float] = {}
    goals: Goals = {}
    over = []
    with tempfile.TemporaryDirectory() as cache:
        triton.knobs.cache.dir = cache
        # The compiler does not report on what it finds compiled.
        triton.knobs.compilation.always_compile = True
        triton.knobs.nvidia.dump_ptxas_log = True
        say(f"{'target':7} {'case':22} {'kernel':16} registers  spills  shared")
        for target in TARGETS:
            if target.name not in chosen:
                continue
            if args.spill_limit is not None:
                target = replace(target, spills=args.spill_limit)
            for case in QUICK if args.quick else ALL:
                for name, usage in usages(case, target, only=args.only):
                    say(
                        f"{target.name:7} {case!s:22} {name:16} "
                        f"{usage.registers:9} {usage.spills:7} {usage.shared:7}"
                    )
                    for what, left in headroom(usage, target, case).items():
                        figure = f"{target.name}_{case}_{name}_{what}_left"
                        figures[figure] = left
                        goals[figure] = (">=", 0)
                        if left < 0:
                            over.append(f"{name} ({case}, {target.name}): {-left} bytes of {what}")
    if args.json:
        show(figures, goals, as_json=True)
    if not figures:
        say(f"no kernel is called {args.only!r}")
        return 1
    for line in over:
        say(f"over the limit: {line}")
    return 1 if over else 0


def usages(case: Case, target: Target, *, only: str | None) -> Iterator[tuple[str, Usage]]:
    """Yield what every kernel takes in a case, each once."""
    torch.set_float32_matmul_precision("highest" if case.exact else "high")
    card = Card(target.name, target.processors)
    seen = set()
    for launches in LAUNCHES:
        for launch in launches(case, card):
            name = launch.kernel.__name__
            if launch.arguments.get("BACKWARDS"):
                name += "_back"
            if name not in seen and only in (None, name):
                seen.add(name)
                yield name, compiled(launch, target)


if __name__ == "__main__":
    sys.exit(main())
