"""Attention to the tokens of remembered views, by their relative poses: `memory_attention`."""

import streammem.ops.needs_torch  # noqa: F401
from streammem.ops.memory_attention.cache import ViewCache
from streammem.ops.memory_attention.choose import BACKENDS, Backend, choose, memory_attention
from streammem.ops.memory_attention.views import Memory, Views

__all__ = ["BACKENDS", "Backend", "Memory", "ViewCache", "Views", "choose", "memory_attention"]
