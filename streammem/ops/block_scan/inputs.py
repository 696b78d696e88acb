"""What is scanned."""

from typing import NamedTuple

from torch import Tensor

from streammem.ops.block_scan.layout import Tiles


class ScanInputs(NamedTuple):
    """The tensors of `block_scan`, which has their shapes, and how they are cut."""

    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    layout: Tiles
    initial_state: Tensor | None
    reset: Tensor | None
