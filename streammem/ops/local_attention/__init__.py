"""Attention of a frame to itself and to the last frames before it: `local_attention`."""

import streammem.ops.needs_torch  # noqa: F401
from streammem.ops.local_attention.cache import LocalCache
from streammem.ops.local_attention.choose import BACKENDS, Backend, choose, local_attention

__all__ = ["BACKENDS", "Backend", "LocalCache", "choose", "local_attention"]
