"""The scan mixer: Mamba-2 on one token, streams, clips, saving."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", reason="the extra 'world' is not installed")

from streammem.world.scan_mixer import BlockScanMixer


def mixer(*, seed: int = 0, **changes: object) -> BlockScanMixer:
    settings = dict(
        channels=32, grid=(4, 6), tile=(2, 3), headdim=16, state_size=16, groups=2, conv_frames=4
    )
    torch.manual_seed(seed)
    return BlockScanMixer(**{**settings, **changes}).eval()  # type: ignore[arg-type]


def frames(count: int, *, batch: int = 2, grid: tuple[int, int] = (4, 6)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, count, *grid, 32, generator=generator)


def test_on_one_token_it_is_mamba_2() -> None:
    mamba2 = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")
    config = mamba2.Mamba2Config(
        hidden_size=32, expand=2, head_dim=16, num_heads=4, state_size=16, n_groups=2, chunk_size=16
    )
    theirs = mamba2.Mamba2Mixer(config, layer_idx=0).eval()
    ours = mixer(grid=(1, 1), tile=(1, 1))
    with torch.no_grad():
        theirs.norm.weight.uniform_(0.5, 2)
        theirs.D.uniform_(0.5, 2)
        ours.project_in.weight.copy_(theirs.in_proj.weight)
        ours.project_out.weight.copy_(theirs.out_proj.weight)
        ours.conv_weight.copy_(theirs.conv1d.weight[:, 0].T)
        ours.conv_bias.copy_(theirs.conv1d.bias)
        ours.log_decay.copy_(theirs.A_log)
        ours.step_bias.copy_(theirs.dt_bias)
        ours.skip.copy_(theirs.D)
        ours.norm_weight.copy_(theirs.norm.weight)
        x = frames(40, grid=(1, 1))
        y, _ = ours(x, ours.init_state(2))
        assert torch.allclose(y[:, :, 0, 0], theirs(x[:, :, 0, 0]), atol=1e-5)


@pytest.mark.parametrize("cuts", [(1,), (2, 3), (1, 2, 3, 4, 5, 6)])
@torch.no_grad()
def test_a_stream_in_parts_equals_the_whole(cuts: tuple[int, ...]) -> None:
    layer, x = mixer(), frames(7)
    whole, end = layer(x, layer.init_state(2))
    state, parts = layer.init_state(2), []
    for start, stop in zip((0, *cuts), (*cuts, 7), strict=True):
        y, state = layer(x[:, start:stop], state)
        parts.append(y)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    assert torch.allclose(state.scan, end.scan, atol=1e-5)
    assert torch.allclose(state.tail, end.tail, atol=1e-6)


@torch.no_grad()
def test_a_frame_may_be_tried_before_it_is_final() -> None:
    layer, x = mixer(), frames(5)
    _, state = layer(x[:, :3], layer.init_state(2))
    scan, tail = state.scan.clone(), state.tail.clone()
    layer(torch.randn_like(x[:, 3:4]), state)
    assert torch.equal(state.scan, scan)
    assert torch.equal(state.tail, tail)


@torch.no_grad()
def test_a_reset_forgets_scan_and_tail() -> None:
    layer, x = mixer(), frames(8)
    reset = torch.zeros(2, 8, dtype=torch.bool)
    reset[0, 3] = reset[1, 5] = reset[1, 6] = True
    _, seen = layer(torch.randn(2, 4, 4, 6, 32), layer.init_state(2))
    y, _ = layer(x, seen, reset=reset)
    for clip, start, stop in ((0, 3, 8), (1, 5, 6), (1, 6, 8)):
        alone, _ = layer(x[clip : clip + 1, start:stop], layer.init_state(1))
        assert torch.allclose(y[clip : clip + 1, start:stop], alone, atol=1e-5)


@torch.no_grad()
def test_state_has_the_same_size_after_any_number_of_frames() -> None:
    layer = mixer()
    state = layer.init_state(1)
    sizes = set()
    for count in (1, 2, 30):
        _, state = layer(frames(count, batch=1), state)
        sizes.add((state.scan.shape, state.tail.untyped_storage().nbytes()))
    assert len(sizes) == 1


def test_every_parameter_learns() -> None:
    layer = mixer()
    y, state = layer(frames(5), layer.init_state(2))
    (y.square().sum() + state.scan.square().sum()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    layer, x = mixer(), frames(3)
    layer.save_pretrained(tmp_path)
    again = BlockScanMixer.from_pretrained(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix != ".json"] == [
        ".safetensors"
    ]
    assert torch.equal(again(x, again.init_state(2))[0], layer(x, layer.init_state(2))[0])


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="headdim must divide 64 channels, got 24"):
        mixer(headdim=24)
    with pytest.raises(ValueError, match="tiles of 3 x 3 do not divide a grid of 4 x 6"):
        mixer(tile=(3, 3))
