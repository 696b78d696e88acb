"""State-space scan over the tiles of a video: `block_scan`."""

from streammem.ops.block_scan.choose import BACKENDS, Backend, block_scan, choose
from streammem.ops.block_scan.layout import Tiles

__all__ = ["BACKENDS", "Backend", "Tiles", "block_scan", "choose"]
