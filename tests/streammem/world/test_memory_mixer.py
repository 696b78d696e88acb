"""Attention to remembered views, as a layer."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers", reason="the extra 'world' is not installed")

from streammem.ops.memory_attention import Memory, ViewCache, Views
from streammem.world.memory_mixer import MemoryMixer

GRID, TOKENS, CHANNELS, HEADS = (2, 3), 6, 32, 2


def mixer() -> MemoryMixer:
    torch.manual_seed(0)
    return MemoryMixer(CHANNELS, grid=GRID, heads=HEADS).eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def poses(*shape: int, seed: int = 2) -> Tensor:
    """Return random rigid motions `[..., 4, 4]`."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(*shape, 3, 3, generator=generator, dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)[..., None, None]
    pose = torch.eye(4, dtype=torch.float64).expand(*shape, 4, 4).clone()
    pose[..., :3, :3] = turn
    pose[..., :3, 3] = torch.randn(*shape, 3, generator=generator, dtype=torch.float64)
    return pose


def memory(layer: MemoryMixer, cameras: Tensor, seen: Tensor, pictures: Tensor) -> Memory:
    keys, values = layer.project(pictures)
    views = Views(keys, values, seen)
    return views.seen_from(cameras, pose_channels=layer.pose_channels)


@torch.no_grad()
def test_only_relative_poses_count() -> None:
    layer, x = mixer(), normal(2, 3, *GRID, CHANNELS)
    cameras, seen = poses(2, 3), poses(2, 3, 4, seed=3)
    pictures = normal(2, 3, 4, TOKENS, CHANNELS, seed=4)
    y, _ = layer(x, memory(layer, cameras, seen, pictures))
    moved = poses(1, seed=5)
    moved[..., :3, 3] *= 1e4
    elsewhere, _ = layer(x, memory(layer, moved @ cameras, moved @ seen, pictures))
    assert torch.allclose(elsewhere, y, atol=1e-5)
    turned, _ = layer(x, memory(layer, moved @ cameras, seen, pictures))
    assert not torch.allclose(turned, y, atol=1e-3)


@torch.no_grad()
def test_without_views_it_adds_nothing() -> None:
    layer, x = mixer(), normal(1, 2, *GRID, CHANNELS)
    y, state = layer(x, layer.init_state(1))
    assert state is None
    assert not y.any()
    empty = normal(1, 2, 0, TOKENS, HEADS, CHANNELS // HEADS)
    assert not layer(x, Memory(empty, empty))[0].any()


@torch.no_grad()
def test_cached_views_give_what_fresh_ones_give() -> None:
    layer, x = mixer(), normal(1, 1, *GRID, CHANNELS)
    seen, pictures, camera = poses(3), normal(3, TOKENS, CHANNELS), poses(1)
    cache = ViewCache(4, tokens=TOKENS, heads=HEADS, headdim=CHANNELS // HEADS)
    for view_id in range(3):
        cache.put(view_id, *layer.project(pictures[view_id]), seen[view_id])
    kept = cache.gather([[2, 0, 1]]).seen_from(camera, pose_channels=layer.pose_channels)
    from_cache = Memory(kept.keys[:, None], kept.values[:, None])
    fresh = memory(
        layer, camera[None], seen[None, None, [2, 0, 1]], pictures[None, None, [2, 0, 1]]
    )
    assert torch.allclose(layer(x, from_cache)[0], layer(x, fresh)[0], atol=1e-6)


@torch.no_grad()
def test_old_views_weigh_as_the_heads_learned() -> None:
    layer, x = mixer(), normal(1, 1, *GRID, CHANNELS)
    pictures = normal(1, 1, 2, TOKENS, CHANNELS)
    both = memory(layer, poses(1, 1), poses(1, 1, 2), pictures)
    newest = Memory(both.keys[:, :, 1:], both.values[:, :, 1:])
    ages = torch.tensor([[[1e4, 0.0]]])
    assert torch.equal(layer(x, both, ages_s=ages)[0], layer(x, both)[0])
    layer.age_slope.fill_(-10.0)
    assert torch.allclose(layer(x, both, ages_s=ages)[0], layer(x, newest)[0], atol=1e-5)


def test_every_parameter_learns() -> None:
    layer = mixer()
    views = memory(layer, poses(1, 2), poses(1, 2, 3), normal(1, 2, 3, TOKENS, CHANNELS))
    ages = torch.arange(6.0).view(1, 2, 3)
    y, _ = layer(normal(1, 2, *GRID, CHANNELS), views, ages_s=ages)
    y.square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    layer = mixer()
    layer.save_pretrained(tmp_path)
    again = MemoryMixer.from_pretrained(tmp_path)
    pictures = normal(3, TOKENS, CHANNELS)
    for one, other in zip(again.project(pictures), layer.project(pictures), strict=True):
        assert torch.equal(one, other)


def test_a_head_needs_room_for_place_and_pose() -> None:
    with pytest.raises(ValueError, match="channels for each head must be a multiple of 8, got 12"):
        MemoryMixer(24, grid=GRID, heads=2)
