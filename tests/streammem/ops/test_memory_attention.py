"""Memory attention: the truth, gradients, rigid motions of the world, holes, and the view cache."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streammem.errors import UsageError
from streammem.ops.memory_attention import Memory, ViewCache, Views, choose, memory_attention


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def cameras(*shape: int, seed: int = 0, spread_m: float = 3.0) -> Tensor:
    """Return camera-to-world poses `[..., 4, 4]`, turned anyhow, around the origin."""
    turn, _ = torch.linalg.qr(normal(*shape, 3, 3, seed=seed, dtype=torch.float64))
    turn = turn * torch.linalg.det(turn)[..., None, None]
    poses = torch.eye(4, dtype=torch.float64).expand(*shape, 4, 4).clone()
    poses[..., :3, :3] = turn
    poses[..., :3, 3] = spread_m * normal(*shape, 3, seed=seed + 1, dtype=torch.float64)
    return poses


def views_like(
    *lead: int,
    views: int,
    tokens: int,
    heads: int,
    headdim: int,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Views:
    shape = (*lead, views, tokens, heads, headdim)
    return Views(
        normal(*shape, seed=seed + 1, dtype=dtype),
        normal(*shape, seed=seed + 2, dtype=dtype),
        cameras(*lead, views, seed=seed + 3),
    )


def carried(pose: Tensor, vector: Tensor, pose_channels: int, unit_m: float) -> Tensor:
    """Multiply the last channels of one head by the block diagonal matrix of a pose."""
    scaled = pose.clone()
    scaled[:3, 3] /= unit_m
    kept = len(vector) - pose_channels
    blocks = [torch.eye(kept, dtype=torch.float64), *[scaled] * (pose_channels // 4)]
    return torch.block_diag(*blocks) @ vector


def by_the_formula(
    q: Tensor, views: Views, viewer: Tensor, bias: Tensor, pose_channels: int, unit_m: float
) -> Tensor:
    """GTA with the poses of the world, one query at a time.

    Scores are (rho(T_i)^-T q) . (rho(T_j) k); the output is rho(T_i)^-1 sum a rho(T_j) v.
    """
    frames, tokens, heads, headdim = q.shape
    y = torch.zeros_like(q)
    for i in range(frames):
        back = torch.linalg.inv(viewer[i])
        for t in range(tokens):
            for h in range(heads):
                asking = q[i, t, h].clone()
                scaled = viewer[i].clone()
                scaled[:3, 3] /= unit_m
                for at in range(headdim - pose_channels, headdim, 4):
                    asking[at : at + 4] = torch.linalg.inv(scaled).T @ asking[at : at + 4]
                total, mixed = 0.0, torch.zeros(headdim, dtype=torch.float64)
                for j in range(views.keys.shape[1]):
                    if views.valid is not None and not views.valid[i, j]:
                        continue
                    pose = views.camera_to_world[i, j]
                    for s in range(views.keys.shape[2]):
                        key = carried(pose, views.keys[i, j, s, h], pose_channels, unit_m)
                        value = carried(pose, views.values[i, j, s, h], pose_channels, unit_m)
                        weight = math.exp(
                            float(asking @ key) / math.sqrt(headdim) + float(bias[i, h, j])
                        )
                        total += weight
                        mixed += weight * value
                if total:
                    y[i, t, h] = carried(back, mixed / total, pose_channels, unit_m)
    return y


@pytest.mark.parametrize("backend", ["sdpa", "naive"])
@pytest.mark.parametrize(("pose_channels", "unit_m"), [(0, 1.0), (4, 1.0), (8, 2.5)])
def test_it_is_the_formula(backend: str, pose_channels: int, unit_m: float) -> None:
    q = normal(3, 2, 2, 9, dtype=torch.float64)
    views = views_like(3, views=3, tokens=2, heads=2, headdim=9, dtype=torch.float64)
    valid = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    views = Views(views.keys, views.values, views.camera_to_world, valid)
    viewer, bias = cameras(3, seed=9), normal(3, 2, 3, seed=7, dtype=torch.float64)
    memory = views.seen_from(viewer, pose_channels=pose_channels, unit_m=unit_m)
    y = memory_attention(q, memory, bias=bias, backend=backend)
    expected = by_the_formula(q, views, viewer, bias, pose_channels, unit_m)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-10)


SHAPES = {
    "lead": st.sampled_from([(1,), (3,), (2, 3)]),
    "tokens": st.sampled_from([1, 5, 63]),
    "views": st.integers(0, 4),
    "view_tokens": st.sampled_from([1, 6, 50]),
    "holes": st.booleans(),
    "biased": st.booleans(),
    "seed": st.integers(0, 100),
}


def outputs_and_gradients(
    backend: str,
    *,
    lead: tuple[int, ...],
    tokens: int,
    views: int,
    view_tokens: int,
    holes: bool,
    biased: bool,
    seed: int,
    dtype: torch.dtype,
) -> list[Tensor]:
    kept = views_like(
        *lead, views=views, tokens=view_tokens, heads=2, headdim=12, seed=seed, dtype=dtype
    )
    inputs = [normal(*lead, tokens, 2, 12, seed=seed, dtype=dtype), kept.keys, kept.values]
    if biased:
        inputs.append(normal(*lead, 2, views, seed=seed + 5, dtype=dtype))
    q, keys, values, *bias = (tensor.requires_grad_() for tensor in inputs)
    valid = normal(*lead, views, seed=seed + 6) > 0 if holes else None
    memory = Views(keys, values, kept.camera_to_world, valid).seen_from(
        cameras(*lead, seed=seed + 8), pose_channels=8, unit_m=10.0
    )
    y = memory_attention(q, memory, bias=bias[0] if bias else None, backend=backend)
    weight = normal(*q.shape, seed=seed + 9, dtype=dtype)
    return [y, *torch.autograd.grad((y * weight).sum(), inputs, materialize_grads=True)]


@settings(max_examples=40, deadline=None)
@given(**SHAPES)
def test_outputs_and_gradients_are_those_of_the_truth(**shape: Any) -> None:
    ours, truth = (
        outputs_and_gradients(backend, **shape, dtype=torch.float64)
        for backend in ("sdpa", "naive")
    )
    for got, expected in zip(ours, truth, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize(("tokens", "view_tokens"), [(1, 1), (63, 50), (7, 500)])
def test_float32_stays_near_the_truth(tokens: int, view_tokens: int, holes: bool) -> None:
    shape = {"lead": (2,), "tokens": tokens, "views": 3, "view_tokens": view_tokens}
    ours, truth = (
        outputs_and_gradients(
            backend, **shape, holes=holes, biased=True, seed=1, dtype=torch.float32
        )
        for backend in ("sdpa", "naive")
    )
    for got, expected in zip(ours, truth, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_finite_differences() -> None:
    remembered = views_like(2, views=2, tokens=2, heads=1, headdim=6, dtype=torch.float64)
    inputs = [
        normal(2, 2, 1, 6, dtype=torch.float64).requires_grad_(),
        remembered.keys.requires_grad_(),
        remembered.values.requires_grad_(),
        normal(2, 1, 2, seed=5, dtype=torch.float64).requires_grad_(),
    ]
    valid, viewer = torch.tensor([[True, False], [True, True]]), cameras(2, seed=8)

    def attend(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        views = Views(keys, values, remembered.camera_to_world, valid)
        return memory_attention(q, views.seen_from(viewer, pose_channels=4), bias=bias)

    torch.autograd.gradcheck(attend, inputs)


@pytest.mark.parametrize("away_m", [0.0, 10.0, 1e4, 1e6])
def test_a_rigid_motion_of_the_world_changes_nothing(away_m: float) -> None:
    q = normal(2, 16, 4, 32)
    views = views_like(2, views=4, tokens=16, heads=4, headdim=32)
    viewer = cameras(2, seed=9)
    motion = cameras(seed=20)
    motion[:3, 3] = away_m * torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)
    moved = Views(views.keys, views.values, motion @ views.camera_to_world)
    here = memory_attention(q, views.seen_from(viewer, pose_channels=16))
    there = memory_attention(q, moved.seen_from(motion @ viewer, pose_channels=16))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-5 if away_m > 1e5 else 1e-6)


def test_a_motion_of_the_asking_camera_changes_what_it_sees() -> None:
    q = normal(1, 4, 2, 8)
    views = views_like(1, views=2, tokens=4, heads=2, headdim=8)
    viewer = cameras(1, seed=9)
    here = memory_attention(q, views.seen_from(viewer, pose_channels=4))
    nearer = viewer.clone()
    nearer[:, :3, 3] += 0.1
    there = memory_attention(q, views.seen_from(nearer, pose_channels=4))
    assert (here - there).abs().max() > 1e-3


def test_from_where_a_view_was_taken_it_is_seen_as_it_was_kept() -> None:
    views = views_like(1, views=1, tokens=4, heads=2, headdim=8)
    memory = views.seen_from(views.camera_to_world[:, 0], pose_channels=8)
    torch.testing.assert_close(memory.keys, views.keys, rtol=0, atol=1e-6)
    torch.testing.assert_close(memory.values, views.values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, 1e30])
def test_an_invalid_slot_is_never_seen(rubbish: float) -> None:
    q = normal(2, 4, 2, 8).requires_grad_()
    views = views_like(2, views=3, tokens=4, heads=2, headdim=8)
    viewer = cameras(2, seed=9)
    first = Views(views.keys[:, :1], views.values[:, :1], views.camera_to_world[:, :1])
    expected = memory_attention(q, first.seen_from(viewer, pose_channels=4))
    for tensor in (views.keys, views.values, views.camera_to_world):
        tensor[:, 1:] = rubbish
    valid = torch.tensor([[True, False, False]] * 2)
    keys, values = views.keys.requires_grad_(), views.values.requires_grad_()
    holed = Views(keys, values, views.camera_to_world, valid)
    y = memory_attention(q, holed.seen_from(viewer, pose_channels=4))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-6)
    for grad in torch.autograd.grad(y.square().sum(), (q, keys, values)):
        assert grad.isfinite().all()


@pytest.mark.parametrize("slots", [0, 2])
@pytest.mark.parametrize("biased", [False, True])
def test_without_any_view_the_output_is_zero(slots: int, biased: bool) -> None:
    q = normal(1, 4, 2, 8).requires_grad_()
    views = views_like(1, views=slots, tokens=4, heads=2, headdim=8)
    keys, values = views.keys.requires_grad_(), views.values.requires_grad_()
    memory = Views(
        keys, values, views.camera_to_world, torch.zeros(1, slots, dtype=torch.bool)
    ).seen_from(cameras(1), pose_channels=4)
    bias = normal(1, 2, slots).requires_grad_() if biased else None
    y = memory_attention(q, memory, bias=bias)
    assert torch.equal(y, torch.zeros_like(y))
    inputs = [q, keys, values] + ([bias] if bias is not None else [])
    for grad in torch.autograd.grad(y.sum(), inputs, materialize_grads=True):
        assert not grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_the_truth(dtype: torch.dtype) -> None:
    q = normal(1, 16, 2, 16, dtype=dtype)
    views = views_like(1, views=3, tokens=16, heads=2, headdim=16, dtype=dtype)
    memory = views.seen_from(cameras(1, seed=9), pose_channels=8, unit_m=3.0)
    y = memory_attention(q, memory)
    truth = memory_attention(q, memory, backend="naive")
    assert y.dtype == memory.keys.dtype == dtype
    torch.testing.assert_close(y.double(), truth.double(), rtol=2e-2, atol=5e-2)


def test_it_compiles_whole() -> None:
    q = normal(1, 4, 2, 8)
    views = views_like(1, views=2, tokens=4, heads=2, headdim=8)
    viewer, valid = cameras(1, seed=9), torch.tensor([[True, False]])

    def attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        kept = Views(keys, values, views.camera_to_world, valid)
        return memory_attention(q, kept.seen_from(viewer, pose_channels=4))

    compiled = torch.compile(attend, backend="aot_eager", fullgraph=True)
    y = compiled(q, views.keys, views.values)
    torch.testing.assert_close(y, attend(q, views.keys, views.values), rtol=0, atol=1e-6)


def filled(cache: ViewCache, view_ids: range) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    shape = cache.keys.shape[1:]
    kept = {
        view_id: (
            normal(*shape, seed=view_id),
            normal(*shape, seed=view_id + 50),
            cameras(seed=view_id),
        )
        for view_id in view_ids
    }
    for view_id, parts in kept.items():
        cache.put(view_id, *parts)
    return kept


def test_the_cache_gathers_what_was_put() -> None:
    cache = ViewCache(6, tokens=3, heads=2, headdim=8)
    kept = filled(cache, range(4))
    views = cache.gather([[2, 0], [3]])
    assert views.valid is not None
    assert views.valid.tolist() == [[True, True], [True, False]]
    for row, column, view_id in ((0, 0, 2), (0, 1, 0), (1, 0, 3)):
        for got, put in zip(
            (views.keys, views.values, views.camera_to_world), kept[view_id], strict=True
        ):
            assert torch.equal(got[row, column], put)
    assert cache.gather([[1, 2]]).valid is None
    assert cache.gather([[]]).keys.shape == (1, 0, 3, 2, 8)


def test_a_kept_view_serves_any_camera() -> None:
    cache = ViewCache(6, tokens=3, heads=2, headdim=8)
    kept = filled(cache, range(4))
    q, viewers = normal(2, 4, 2, 8), cameras(2, seed=9)
    views = cache.gather([[2, 0], [1, 2]])
    y = memory_attention(q, views.seen_from(viewers, pose_channels=4))
    for i, ids in enumerate(([2, 0], [1, 2])):
        keys, values, poses = (
            torch.stack([kept[view_id][part] for view_id in ids])[None] for part in range(3)
        )
        alone = Views(keys, values, poses).seen_from(viewers[i : i + 1], pose_channels=4)
        expected = memory_attention(q[i : i + 1], alone, backend="naive")
        torch.testing.assert_close(y[i : i + 1], expected, rtol=0, atol=1e-5)


def test_a_full_cache_lets_go_of_what_was_gathered_longest_ago() -> None:
    cache = ViewCache(3, tokens=1, heads=1, headdim=4)
    filled(cache, range(3))
    cache.gather([[0]])
    token = torch.ones(1, 1, 4)
    assert cache.put(7, token, token, cameras()) == 1
    assert cache.put(7, 2 * token, token, cameras()) is None
    assert len(cache) == 3
    assert cache.missing([0, 1, 7, 1, 9]) == [1, 9]
    assert cache.gather([[7]]).keys.unique().tolist() == [2.0]


def test_a_forgotten_view_leaves_nothing() -> None:
    cache = ViewCache(2, tokens=1, heads=1, headdim=4)
    filled(cache, range(2))
    cache.discard([0, 1, 5])
    assert len(cache) == 0
    assert 0 not in cache
    assert not cache.keys.any()
    assert not cache.values.any()


def test_the_choice_gives_its_reason() -> None:
    assert str(choose(torch.zeros(1))) == "sdpa (cpu: torch's own kernel)"


ZEROS = torch.zeros(1, 2, 4, 2, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": torch.zeros(4, 2, 8)}, r"q must be \[batch, tokens.* got \[4, 2, 8\]"),
        ({"q": torch.zeros(0, 4, 2, 8)}, "at least one token, got"),
        ({"memory": Memory(ZEROS[0], ZEROS[0])}, r"keys must be \[1, views, tokens, 2, 8\]"),
        ({"memory": Memory(ZEROS[..., :4], ZEROS)}, r"keys must be .* got \[1, 2, 4, 2, 4\]"),
        ({"memory": Memory(ZEROS.double(), ZEROS)}, r"keys must be .* got .* torch.float64"),
        ({"memory": Memory(ZEROS, ZEROS[:, :1])}, r"values must be .* like its keys, got \[1, 1"),
        ({"memory": Memory(ZEROS, ZEROS, torch.ones(1, 2))}, r"valid must be bool \[1, 2\], got"),
        ({"bias": torch.zeros(1, 2)}, r"bias must be \[1, 2, 2\], got \[1, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    fitting = {"q": torch.zeros(1, 4, 2, 8), "memory": Memory(ZEROS, ZEROS)}
    with pytest.raises(ValueError, match=message):
        memory_attention(**(fitting | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose_channels": 6}, "pose_channels must be a multiple of 4 up to the head's 8, got 6"),
        ({"pose_channels": 12}, "up to the head's 8, got 12"),
        ({"unit_m": 0.0}, "unit_m must be above 0, got 0"),
        ({"camera_to_world": torch.eye(4).double()}, r"the camera's pose must be float64 \[1, 4"),
        ({"camera_to_world": torch.eye(4)[None]}, r"cannot tell millimetres .* got torch.float32"),
    ],
)
def test_a_camera_that_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    views = views_like(1, views=2, tokens=4, heads=2, headdim=8)
    with pytest.raises(ValueError, match=message):
        views.seen_from(**({"camera_to_world": cameras(1), "pose_channels": 4} | change))


def test_views_whose_poses_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the views' poses must be float64 \[1, 2, 4, 4\]"):
        Views(ZEROS, ZEROS, cameras(1, 3)).seen_from(cameras(1), pose_channels=4)


def test_the_cache_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="capacity must be 1 view or more, got 0"):
        ViewCache(0, tokens=1, heads=1, headdim=4)
    cache, token = ViewCache(2, tokens=1, heads=1, headdim=4), torch.zeros(1, 1, 4)
    with pytest.raises(ValueError, match=r"keys of a view must be \[1, 1, 4\], got \[1, 4\]"):
        cache.put(0, token[0], token, cameras())
    with pytest.raises(ValueError, match=r"values of a view must be \[1, 1, 4\], got \[4\]"):
        cache.put(0, token, token[0, 0], cameras())
    with pytest.raises(ValueError, match=r"pose of a view must be float64 \[4, 4\], got torch.fl"):
        cache.put(0, token, token, cameras().float())
    with pytest.raises(ValueError, match=r"views \[3, 8\] are not kept; .* at most 2 of them"):
        cache.gather([[3], [8, 3]])


def test_an_unknown_backend_is_answered_with_the_known() -> None:
    with pytest.raises(UsageError, match=r"memory attention backend 'flash' .* sdpa, naive"):
        memory_attention(torch.zeros(1, 4, 2, 8), Memory(ZEROS, ZEROS), backend="flash")
