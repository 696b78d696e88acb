"""State-space scan over the tiles of a video: `block_scan`."""

import streammem.ops.needs_torch  # noqa: F401
from streammem.ops.block_scan.choose import BACKENDS, Backend, block_scan, choose
from streammem.ops.block_scan.layout import Tiles

__all__ = ["BACKENDS", "Backend", "Tiles", "block_scan", "choose"]
