"""`memory_attention`: checks the input and hands it to a backend."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from streammem.errors import one_of
from streammem.ops.memory_attention import naive, sdpa
from streammem.ops.memory_attention.checks import check
from streammem.ops.memory_attention.views import Memory

BACKENDS = ("auto", "sdpa", "naive")
_ATTEND = {"sdpa": sdpa.attend, "naive": naive.attend}


@dataclass(frozen=True, slots=True)
class Backend:
    """A chosen backend and the reason for the choice."""

    name: Literal["sdpa", "naive"]
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def memory_attention(
    q: Tensor,
    memory: Memory,
    *,
    bias: Tensor | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> Tensor:
    """Attend from a frame's tokens to all tokens of the views in its memory; return y like q.

    `q [batch, tokens, heads, headdim]`, or `[batch, frames, tokens, heads, headdim]` where each
    frame has views of its own; the shapes of `memory` begin alike. `memory` comes from
    `Views.seen_from`, once for all steps at which a frame is evaluated.

    `bias [batch, (frames,) heads, views]` is added to the scores of a view's tokens: by how long
    ago it was seen, or how sure it is. `scale` is headdim ** -0.5 where None. A query whose memory
    holds no valid view gets zeros, and no gradient.

    Memory attention of WorldMem, arXiv 2504.12369, section 3.3, with the relative poses of GTA,
    arXiv 2310.10375. Raises ValueError where shapes do not fit, UsageError for an unknown backend.
    """
    if backend not in BACKENDS:
        raise one_of("memory attention backend", backend, BACKENDS)
    check(q, memory, bias)
    name = choose(q).name if backend == "auto" else backend
    lead = q.shape[:-3]

    def folded(tensor: Tensor) -> Tensor:
        return tensor.flatten(0, len(lead) - 1)

    y = _ATTEND[name](
        folded(q),
        folded(memory.keys),
        folded(memory.values),
        valid=None if memory.valid is None else folded(memory.valid),
        bias=None if bias is None else folded(bias),
        scale=q.shape[-1] ** -0.5 if scale is None else scale,
    )
    return y.reshape(q.shape).to(q.dtype)


def choose(q: Tensor) -> Backend:
    """Return the backend that `auto` takes for these tensors."""
    return Backend("sdpa", f"{q.device.type}: torch's own kernel")
