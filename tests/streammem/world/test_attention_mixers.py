"""Attention within a frame and to the last frames, as layers."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", reason="the extra 'world' is not installed")

from streammem.world.local_mixer import LocalAttentionMixer
from streammem.world.spatial_attention import SpatialAttention

GRID = (3, 4)


def local(**changes: int) -> LocalAttentionMixer:
    torch.manual_seed(0)
    settings = dict(channels=32, heads=2, window_frames=3)
    return LocalAttentionMixer(grid=GRID, **{**settings, **changes}).eval()


def spatial() -> SpatialAttention:
    torch.manual_seed(0)
    return SpatialAttention(32, grid=GRID, heads=2).eval()


def frames(count: int, *, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, count, *GRID, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cuts", [(1,), (5,), (1, 2, 3, 4, 5, 6, 7)])
@torch.no_grad()
def test_a_stream_in_parts_equals_the_whole(cuts: tuple[int, ...]) -> None:
    layer, x = local(), frames(8)
    whole, _ = layer(x, layer.init_state(2))
    state, parts = layer.init_state(2), []
    for start, stop in zip((0, *cuts), (*cuts, 8), strict=True):
        y, state = layer(x[:, start:stop], state)
        parts.append(y)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)


@torch.no_grad()
def test_what_left_the_window_is_not_seen() -> None:
    layer, x = local(), frames(8)
    before, _ = layer(x, layer.init_state(2))
    x[:, 2] += 1
    after, _ = layer(x, layer.init_state(2))
    changed = (before != after).flatten(2).any(-1)
    assert changed.tolist() == [[False] * 2 + [True] * 4 + [False] * 2] * 2


@torch.no_grad()
def test_a_draft_leaves_no_trace() -> None:
    layer, x = local(), frames(6)
    _, state = layer(x[:, :5], layer.init_state(2))
    expected, _ = layer(x[:, 5:], state.clone())
    for _ in range(3):
        layer(torch.randn_like(x[:, 5:]), state, keep=False)
    y, state = layer(x[:, 5:], state)
    assert torch.equal(y, expected)
    assert state.frames == 6


@torch.no_grad()
def test_only_the_offset_in_time_counts() -> None:
    layer, x = local(), frames(4)
    early, _ = layer(x, layer.init_state(2))
    _, state = layer(frames(1001), layer.init_state(2))
    reset = torch.zeros(2, 4, dtype=torch.bool)
    reset[:, 0] = True
    late, _ = layer(x, state, reset=reset)
    assert torch.allclose(early, late, atol=1e-5)


@torch.no_grad()
def test_spatial_attention_sees_its_own_frame_alone() -> None:
    layer, x = spatial(), frames(4)
    before, state = layer(x, layer.init_state(2))
    x[:, 1, 0, 0] += 1
    after, _ = layer(x, state)
    changed = (before != after).any(-1)[0]  # [frames, rows, columns]
    assert changed[1].all()
    assert not changed[[0, 2, 3]].any()


@torch.no_grad()
def test_spatial_attention_knows_where_a_token_is() -> None:
    layer, x = spatial(), frames(1)
    moved, _ = layer(x.flip(3), None)
    still, _ = layer(x, None)
    assert not torch.allclose(moved.flip(3), still, atol=1e-3)


@pytest.mark.parametrize("layer", [local(), spatial()], ids=["local", "spatial"])
def test_every_parameter_learns(layer: LocalAttentionMixer | SpatialAttention) -> None:
    y, _ = layer(frames(5), layer.init_state(2))
    y.square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("layer", [local(), spatial()], ids=["local", "spatial"])
@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(
    layer: LocalAttentionMixer | SpatialAttention, tmp_path: Path
) -> None:
    layer.save_pretrained(tmp_path)
    again = type(layer).from_pretrained(tmp_path)
    x = frames(3)
    assert torch.equal(again(x, again.init_state(2))[0], layer(x, layer.init_state(2))[0])


def test_wrong_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="heads must divide 32 channels, got 5"):
        local(heads=5)
