"""Local attention: every backend against float64, streams against wholes, the cache's promises."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streammem.errors import UsageError
from streammem.ops.local_attention import LocalCache, choose, local_attention

FAST = ("frames", "windows")
SIZES = (
    # batch, frames, tokens, heads, headdim, window
    (1, 1, 1, 1, 8, 0),
    (2, 9, 7, 3, 8, 4),
    (1, 3, 63, 2, 16, 8),
    (2, 1, 500, 1, 8, 2),
    (1, 12, 4, 2, 8, 1),
    (3, 5, 6, 1, 8, 0),
)


def draw(
    *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(3))
    return q.to(dtype), k.to(dtype), v.to(dtype)


def marks(batch: int, frames: int, seed: int = 0) -> Tensor:
    return torch.rand(batch, frames, generator=torch.Generator().manual_seed(seed)) < 0.3


def token_by_token(q: Tensor, k: Tensor, v: Tensor, window: int, reset: Tensor) -> Tensor:
    """The definition, one query and one head at a time."""
    batch, frames, tokens, heads, headdim = q.shape
    y = torch.zeros_like(q)
    for b in range(batch):
        for i in range(frames):
            first = i
            while first > max(0, i - window) and not reset[b, first]:
                first -= 1
            for t in range(tokens):
                for h in range(heads):
                    keys = k[b, first : i + 1, :, h].reshape(-1, headdim)
                    values = v[b, first : i + 1, :, h].reshape(-1, headdim)
                    weights = torch.exp(keys @ q[b, i, t, h] / math.sqrt(headdim))
                    y[b, i, t, h] = weights @ values / weights.sum()
    return y


@pytest.mark.parametrize("size", [(2, 7, 3, 2, 4, 3), (1, 5, 2, 1, 8, 1), (1, 4, 1, 1, 4, 0)])
def test_the_truth_is_the_definition(size: tuple[int, ...]) -> None:
    *shape, window = size
    q, k, v = draw(*shape, dtype=torch.float64)
    reset = marks(*shape[:2])
    y, _ = local_attention(q, k, v, window_frames=window, reset=reset, backend="naive")
    torch.testing.assert_close(y, token_by_token(q, k, v, window, reset), rtol=0, atol=1e-12)


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backend", FAST)
def test_outputs_and_gradients_are_those_of_the_truth(
    backend: str, size: tuple[int, ...], marked: bool
) -> None:
    *shape, window = size
    q, k, v = (tensor.requires_grad_() for tensor in draw(*shape))
    weight = draw(*shape, seed=1)[0]
    reset = marks(*shape[:2]) if marked else None
    results = {}
    for name in (backend, "naive"):
        y, _ = local_attention(q, k, v, window_frames=window, reset=reset, backend=name)
        results[name] = (y, *torch.autograd.grad((y * weight).sum(), (q, k, v)))
    for got, expected in zip(results[backend], results["naive"], strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        y, _ = local_attention(q, k, v, window_frames=window, reset=reset, backend=backend)
    torch.testing.assert_close(y, results["naive"][0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", FAST)
def test_gradients_are_those_of_finite_differences(backend: str) -> None:
    inputs = [tensor.requires_grad_() for tensor in draw(1, 4, 2, 1, 3, dtype=torch.float64)]
    reset = torch.tensor([[False, False, False, True]])

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return local_attention(q, k, v, window_frames=2, reset=reset, backend=backend)[0]

    torch.autograd.gradcheck(attend, inputs)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    window=st.integers(0, 5),
    batch=st.integers(1, 2),
    tokens=st.integers(1, 5),
    marked=st.booleans(),
    backend=st.sampled_from(("auto", "windows", "naive")),
    gradients=st.booleans(),
    seed=st.integers(0, 100),
)
def test_a_stream_split_anywhere_gives_the_whole(
    pieces: list[int],
    window: int,
    batch: int,
    tokens: int,
    marked: bool,
    backend: str,
    gradients: bool,
    seed: int,
) -> None:
    frames = sum(pieces)
    q, k, v = (t.requires_grad_(gradients) for t in draw(batch, frames, tokens, 2, 4, seed=seed))
    reset = marks(batch, frames, seed) if marked else torch.zeros(batch, frames, dtype=torch.bool)
    whole, _ = local_attention(q, k, v, window_frames=window, reset=reset, backend="naive")
    cache, parts, first = None, [], 0
    for piece in pieces:
        here = slice(first, first + piece)
        y, cache = local_attention(
            q[:, here],
            k[:, here],
            v[:, here],
            window_frames=window,
            cache=cache,
            reset=reset[:, here] if marked and reset[:, here].any() else None,
            backend=backend,
        )
        parts.append(y)
        first += piece
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)
    if gradients:
        ours = torch.autograd.grad(sum(part.square().sum() for part in parts), (q, k, v))
        truth = torch.autograd.grad(whole.square().sum(), (q, k, v))
        for got, expected in zip(ours, truth, strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_frame_can_be_evaluated_often_before_it_is_final(at_once: int) -> None:
    q, k, v = draw(1, 12, 4, 2, 8)
    drafts = draw(1, 12, 4, 2, 8, seed=1)
    whole, _ = local_attention(q, k, v, window_frames=3)
    cache = LocalCache.empty(k, 3)
    for first in range(0, 12, at_once):
        here = slice(first, first + at_once)
        for _ in range(3):
            draft = (tensor[:, here] for tensor in drafts)
            _, same = local_attention(*draft, window_frames=3, cache=cache, append=False)
            assert same is cache
        y, cache = local_attention(q[:, here], k[:, here], v[:, here], window_frames=3, cache=cache)
        torch.testing.assert_close(y, whole[:, here], rtol=0, atol=1e-6)


def test_a_draft_sees_what_the_final_frame_will_see() -> None:
    q, k, v = draw(1, 6, 4, 2, 8)
    _, cache = local_attention(q[:, :5], k[:, :5], v[:, :5], window_frames=3)
    last = [tensor[:, 5:] for tensor in (q, k, v)]
    draft, _ = local_attention(*last, window_frames=3, cache=cache, append=False)
    final, _ = local_attention(*last, window_frames=3, cache=cache)
    assert torch.equal(draft, final)


def test_the_cache_keeps_its_size_and_its_storage_in_a_stream() -> None:
    q, k, v = draw(2, 1, 4, 2, 8)
    cache = LocalCache.empty(k, 3)
    place = cache.keys.data_ptr()
    for _ in range(50):
        _, cache = local_attention(q, k, v, window_frames=3, cache=cache)
    assert cache.keys.shape == (2, 4, 4, 2, 8)
    assert cache.keys.data_ptr() == place
    assert cache.frames == 50
    assert cache.window_frames == 3


def test_a_clone_has_a_future_of_its_own() -> None:
    q, k, v = draw(1, 8, 4, 2, 8)
    _, cache = local_attention(q[:, :4], k[:, :4], v[:, :4], window_frames=2)
    other = cache.clone()
    for frame in range(4, 8):
        here = slice(frame, frame + 1)
        _, cache = local_attention(v[:, here], q[:, here], k[:, here], window_frames=2, cache=cache)
    y, _ = local_attention(q[:, 4:], k[:, 4:], v[:, 4:], window_frames=2, cache=other)
    whole, _ = local_attention(q, k, v, window_frames=2)
    torch.testing.assert_close(y, whole[:, 4:], rtol=0, atol=1e-6)


def test_frames_can_be_appended_without_attending() -> None:
    q, k, v = draw(2, 7, 4, 2, 8)
    reset = marks(2, 7)
    whole, _ = local_attention(q, k, v, window_frames=3, reset=reset)
    cache = LocalCache.empty(k, 3).append(k[:, :5], v[:, :5], reset=reset[:, :5])
    y, _ = local_attention(
        q[:, 5:], k[:, 5:], v[:, 5:], window_frames=3, cache=cache, reset=reset[:, 5:]
    )
    torch.testing.assert_close(y, whole[:, 5:], rtol=0, atol=1e-6)


def test_a_cache_saved_as_numbers_goes_on_as_before() -> None:
    q, k, v = draw(1, 6, 4, 2, 8)
    _, cache = local_attention(q[:, :5], k[:, :5], v[:, :5], window_frames=2)
    saved = {field.name: getattr(cache, field.name) for field in dataclasses.fields(cache)}
    loaded = LocalCache(**{name: tensor.clone() for name, tensor in saved.items()})
    last = [tensor[:, 5:] for tensor in (q, k, v)]
    y, _ = local_attention(*last, window_frames=2, cache=loaded)
    assert torch.equal(y, local_attention(*last, window_frames=2, cache=cache)[0])


def test_nothing_beyond_the_window_or_before_a_mark_is_seen() -> None:
    q, k, v = draw(1, 6, 4, 2, 8)
    y, _ = local_attention(q, k, v, window_frames=2)
    k[:, :3], v[:, :3] = 1e9, 1e9
    edited, _ = local_attention(q, k, v, window_frames=2)
    assert torch.equal(y[:, 5], edited[:, 5])
    assert not torch.equal(y[:, 4], edited[:, 4])
    cut = torch.tensor([[False, False, False, True, False, False]])
    alone, _ = local_attention(q[:, 3:], k[:, 3:], v[:, 3:], window_frames=2)
    marked, _ = local_attention(q, k, v, window_frames=2, reset=cut)
    torch.testing.assert_close(marked[:, 3:], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_the_truth(backend: str, dtype: torch.dtype) -> None:
    q, k, v = draw(1, 6, 16, 2, 16, dtype=dtype)
    truth, _ = local_attention(q, k, v, window_frames=3, backend="naive")
    y, cache = local_attention(q, k, v, window_frames=3, backend=backend)
    assert y.dtype == cache.keys.dtype == dtype
    torch.testing.assert_close(y.double(), truth.double(), rtol=0, atol=2e-2)


@pytest.mark.parametrize("gradients", [False, True])
def test_it_compiles_whole(gradients: bool) -> None:
    q, k, v = (tensor.requires_grad_(gradients) for tensor in draw(2, 5, 4, 2, 8))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return local_attention(q, k, v, window_frames=2)[0]

    y = torch.compile(attend, backend="aot_eager", fullgraph=True)(q, k, v)
    torch.testing.assert_close(y, attend(q, k, v), rtol=0, atol=1e-6)
    if gradients:
        ours = torch.autograd.grad(y.square().sum(), (q, k, v))
        truth = torch.autograd.grad(attend(q, k, v).square().sum(), (q, k, v))
        for got, expected in zip(ours, truth, strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_a_stream_compiles_once() -> None:
    q, k, v = draw(1, 8, 4, 2, 8)
    whole, _ = local_attention(q, k, v, window_frames=2)
    graphs = []

    def keep(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    step = torch.compile(local_attention, backend=keep, fullgraph=True)
    cache = LocalCache.empty(k, 2)
    for frame in range(8):
        now = [tensor[:, frame : frame + 1] for tensor in (q, k, v)]
        y, _ = step(*now, window_frames=2, cache=cache, append=False)
        y, cache = step(*now, window_frames=2, cache=cache)
        torch.testing.assert_close(y[:, 0], whole[:, frame], rtol=0, atol=1e-6)
    assert len(graphs) == 2, "one graph for drafts and one for final frames, whatever the time"


def test_it_works_inside_checkpointing() -> None:
    q, k, v = (tensor.requires_grad_() for tensor in draw(1, 5, 4, 2, 8))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return local_attention(q, k, v, window_frames=2)[0]

    y = torch.utils.checkpoint.checkpoint(attend, q, k, v, use_reentrant=False)
    ours = torch.autograd.grad(y.square().sum(), (q, k, v))
    truth = torch.autograd.grad(attend(q, k, v).square().sum(), (q, k, v))
    for got, expected in zip(ours, truth, strict=True):
        assert torch.equal(got, expected)


def test_the_choice_gives_its_reason() -> None:
    q, k, v = draw(1, 2, 4, 2, 8)
    assert str(choose(q, k, v)) == "frames (cpu: no product is masked, no key is copied)"
    assert choose(*(tensor.to("meta") for tensor in (q, k, v))).name == "windows"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": torch.zeros(1, 2, 3)}, r"q must be \[batch, frames, .* got \[1, 2, 3\]"),
        ({"q": torch.zeros(1, 0, 4, 2, 8)}, "at least one token, got"),
        ({"k": torch.zeros(1, 3, 4, 2, 8)}, r"k must be \[1, 2, 4, 2, 8\] .* like q, got \[1, 3"),
        ({"v": torch.zeros(1, 2, 4, 2, 8).double()}, r"v must be .* got .* torch.float64"),
        ({"window_frames": -1}, "window_frames must be 0 or more, got -1"),
        ({"cache": LocalCache.empty(torch.zeros(1, 1, 4, 2, 8), 5)}, "the cache must hold"),
        ({"reset": torch.zeros(1, 2)}, r"reset must be bool \[1, 2\] .* got torch.float32"),
        ({"reset": torch.zeros(1, 3, dtype=torch.bool)}, r"got torch.bool \[1, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    q, k, v = draw(1, 2, 4, 2, 8)
    with pytest.raises(ValueError, match=message):
        local_attention(**({"q": q, "k": k, "v": v, "window_frames": 2} | change))


def test_an_unknown_backend_is_answered_with_the_known() -> None:
    q, k, v = draw(1, 2, 4, 2, 8)
    with pytest.raises(UsageError, match=r"local attention backend 'flash' .* frames, windows"):
        local_attention(q, k, v, window_frames=2, backend="flash")


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("backend", FAST)
def test_autocast_changes_no_dtype(backend: str, gradients: bool) -> None:
    q, k, v = (tensor.requires_grad_(gradients) for tensor in draw(1, 4, 5, 2, 8))
    truth, _ = local_attention(q, k, v, window_frames=2, backend="naive")
    with torch.autocast("cpu", torch.bfloat16):
        y, cache = local_attention(q, k, v, window_frames=2, backend=backend)
    assert y.dtype == cache.keys.dtype == torch.float32
    torch.testing.assert_close(y, truth, rtol=0, atol=5e-2)
    if gradients:
        assert torch.autograd.grad(y.sum(), q)[0].dtype == torch.float32
