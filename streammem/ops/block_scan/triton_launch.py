"""How the scan's Triton kernels are launched, and with what.

Nothing here touches a GPU: planned on the meta device, the launches are those that run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from streammem.ops.block_scan import triton_backward, triton_forward
from streammem.ops.block_scan.layout import Tiles
from streammem.ops.block_scan.triton_blocks import Blocks, Card, adds, blocking, precision, spans

_PASS_BLOCK = 1024
_LEAST = 16
"""The least side of a product on tensor cores."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel with all that it is called with."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: dict[str, Any]
    warps: int
    stages: int

    def __call__(self) -> None:
        """Run it."""
        self.kernel[self.grid](**self.arguments, num_warps=self.warps, num_stages=self.stages)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What `block_scan` takes; x, B and C with a contiguous last axis, A, D and `first` all.

    `clips [batch, frames]` int32 counts the clips that began up to each frame.
    """

    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    first: Tensor | None
    clips: Tensor | None
    layout: Tiles


class Plan:
    """How the scan of these inputs is cut into programs on a card."""

    def __init__(self, inputs: Inputs, card: Card) -> None:
        batch, frames, rows, columns, heads, headdim = inputs.x.shape
        groups, state = inputs.B.shape[-2:]
        down, across = inputs.layout.counts(rows, columns)
        length = frames * inputs.layout.height * inputs.layout.width
        self._inputs = inputs
        kind = precision(inputs.x.dtype)
        self._blocks = blocking(card, kind, headdim=headdim, state=state)
        chunk = min(self._blocks.chunk, max(_LEAST, triton.next_power_of_2(length)))
        self._widest: int = max(_LEAST, triton.next_power_of_2(headdim))
        self.share = heads // groups
        self.rows = batch * down * across * heads  # sequences x heads
        self.chunks = triton.cdiv(length, chunk)
        self._spans = spans(
            self.chunks,
            walkers=self.rows * triton.cdiv(headdim, self._blocks.walk.headdim),
            processors=card.processors,
        )
        self.adds = adds(self.share, programs=self.rows * self.chunks, processors=card.processors)
        self._geometry = {
            "length": length,
            "frames": frames,
            "tiles": down * across,
            "across": across,
            "heads": heads,
            "share": self.share,
            "P": headdim,
            "N": state,
            "Q": chunk,
            "BLOCK_N": max(_LEAST, triton.next_power_of_2(state)),
            "TILE_H": inputs.layout.height,
            "TILE_W": inputs.layout.width,
            "DOT": tl.bfloat16 if kind == "bf16" else tl.float32,
            "PRECISION": "ieee" if kind == "bf16" or card.name.startswith("gfx") else kind,
        }

    def chunk_states(self) -> Tensor:
        """Return room for the states before, or the gradients after, each chunk."""
        x = self._inputs.x
        dtype = torch.bfloat16 if x.dtype == torch.bfloat16 else torch.float32
        return self._states(self.chunks, dtype)

    def forward(self, y: Tensor, starts: Tensor | None, last: Tensor) -> Iterator[Launch]:
        """Yield what writes y, the states before the chunks (if wanted) and the last state."""
        given, blocks, first = self._inputs, self._blocks.walk, self._inputs.first
        tensors: dict[str, Any] = {"A": given.A, "clips": given.clips}
        tensors |= _strided(x=given.x, dt=given.dt, B=given.B)
        if self._spans > 1:
            first, through = self._span_states()
            states = {"written": first, "through": through}
            yield self._walk(triton_forward.span_states, blocks, self._spans - 1, tensors | states)
            yield self._pass(first, through, given.first, backwards=False)
        tensors |= {"first": first, "starts": starts, "last": last, "D": given.D}
        tensors |= _strided(C=given.C, y=y)
        yield self._walk(triton_forward.scan_spans, blocks, self._spans, tensors)

    def backward(
        self, dy: Tensor, dlast: Tensor, dx: Tensor, ends: Tensor, dfirst: Tensor | None
    ) -> Iterator[Launch]:
        """Yield what writes dx, the gradients of the states after the chunks and of the first."""
        given, blocks, last = self._inputs, self._blocks.back, dlast
        tensors: dict[str, Any] = {"A": given.A, "clips": given.clips}
        tensors |= _strided(dt=given.dt, C=given.C, dy=dy)
        if self._spans > 1:
            last, through = self._span_states()
            states = {"read": last, "through": through}
            yield self._walk(
                triton_backward.span_gradients, blocks, self._spans - 1, tensors | states
            )
            yield self._pass(last, through, dlast, backwards=True)
        tensors |= {"last": last, "ends": ends, "first": dfirst, "D": given.D}
        tensors |= _strided(B=given.B, dx=dx)
        yield self._walk(triton_backward.state_gradients, blocks, self._spans, tensors)

    def gather(
        self,
        dy: Tensor,
        starts: Tensor,
        ends: Tensor,
        ddt: Tensor,
        dA: Tensor,
        dB: Tensor,
        dC: Tensor,
        dD: Tensor | None,
    ) -> Launch:
        """Return what writes the gradients of dt, A, B, C and D, once those of states are known."""
        given, blocks = self._inputs, self._blocks.gather
        tensors = _strided(x=given.x, dt=given.dt, B=given.B, C=given.C, dy=dy, ddt=ddt, dB=dB)
        tensors |= {"A": given.A, "clips": given.clips, "starts": starts, "ends": ends}
        tensors |= {"dA": dA, "dC": dC, "dD": dD, "adds": self.adds}
        grid = (self.rows // self.adds, self.chunks)
        return self._launch(triton_backward.token_gradients, grid, blocks, tensors)

    def _span_states(self) -> tuple[Tensor, Tensor]:
        """Return room for a state for each span, and for what each leaves of it."""
        states = self._states(self._spans, torch.float32)
        return states, states.new_empty(self.rows, self._spans)

    def _states(self, count: int, dtype: torch.dtype) -> Tensor:
        x, B = self._inputs.x, self._inputs.B
        return x.new_empty(self.rows, count, B.shape[-1], x.shape[-1], dtype=dtype)

    def _walk(self, kernel: Any, blocks: Blocks, spans: int, arguments: dict[str, Any]) -> Launch:
        grid = (self.rows, spans, triton.cdiv(self._geometry["P"], self._width(blocks)))
        chunks = {"chunks": triton.cdiv(self.chunks, self._spans)}
        return self._launch(kernel, grid, blocks, arguments | chunks)

    def _launch(
        self, kernel: Any, grid: tuple[int, ...], blocks: Blocks, arguments: dict[str, Any]
    ) -> Launch:
        arguments = {**arguments, **self._geometry, "BLOCK_P": self._width(blocks)}
        return Launch(kernel, grid, arguments, blocks.warps, blocks.stages)

    def _width(self, blocks: Blocks) -> int:
        return min(blocks.headdim, self._widest)

    def _pass(
        self, states: Tensor, through: Tensor, first: Tensor | None, *, backwards: bool
    ) -> Launch:
        size = states.shape[-2] * states.shape[-1]
        arguments = {
            "states": states,
            "through": through,
            "first": first,
            "spans": self._spans,
            "SIZE": size,
            "BLOCK": _PASS_BLOCK,
            "BACKWARDS": backwards,
        }
        grid = (self.rows, triton.cdiv(size, _PASS_BLOCK))
        return Launch(triton_forward.pass_states, grid, arguments, 4, 1)


def _strided(**tensors: Tensor) -> dict[str, Any]:
    """Return tensors with the strides of their first five axes."""
    strides = {f"{name}_strides": tensor.stride()[:5] for name, tensor in tensors.items()}
    return {**tensors, **strides}
