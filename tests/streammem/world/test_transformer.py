"""The world transformer as a stream: parts, drafts, resets, memory, drawing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers", reason="the extra 'world' is not installed")

from streammem.ops.memory_attention import Memory, Views
from streammem.world.flow import levels_down
from streammem.world.sampler import draw_frame, take_in
from streammem.world.transformer import WorldTransformer

BATCH, FRAMES, SIDE, VIEWS = 2, 7, 16, 3


def model(**changes: Any) -> WorldTransformer:
    torch.manual_seed(0)
    settings = dict(
        size=SIDE,
        patch=4,
        channels=32,
        layers=3,
        heads=2,
        window_frames=2,
        tiles=(1, 2),
        headdim=16,
        state_size=8,
        actions=3,
    )
    built = WorldTransformer(**{**settings, **changes}).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return built


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def frames(count: int = FRAMES) -> dict[str, Tensor]:
    return {
        "noisy": normal(BATCH, count, SIDE, SIDE, 4),
        "level": torch.rand(BATCH, count, generator=torch.Generator().manual_seed(2)),
        "action": torch.arange(BATCH * count).view(BATCH, count) % 3,
        "rays": normal(BATCH, count, 4, 4, 6, seed=3),
    }


def memory(world: WorldTransformer, count: int = FRAMES) -> list[Memory]:
    poses = torch.eye(4, dtype=torch.float64).expand(BATCH, count, VIEWS, 4, 4).clone()
    poses[..., :3, 3] = normal(BATCH, count, VIEWS, 3, seed=4).double()
    pictures = normal(BATCH, count, VIEWS, SIDE, SIDE, 4, seed=5)
    return [
        Views(keys, values, poses).seen_from(poses[:, :, 0], pose_channels=world.pose_channels)
        for keys, values in world.project_views(pictures)
    ]


def part(given: dict[str, Tensor], views: list[Memory], start: int, stop: int) -> dict[str, Any]:
    return {
        **{name: tensor[:, start:stop] for name, tensor in given.items()},
        "memory": [Memory(m.keys[:, start:stop], m.values[:, start:stop]) for m in views],
    }


@pytest.mark.parametrize("cuts", [(1,), (3, 4), (1, 2, 3, 4, 5, 6)])
@torch.no_grad()
def test_a_stream_in_parts_equals_the_whole(cuts: tuple[int, ...]) -> None:
    world, given = model(), frames()
    views = memory(world)
    whole = world(**given, state=world.init_state(BATCH), memory=views)
    state, planes, hidden = world.init_state(BATCH), [], []
    for start, stop in zip((0, *cuts), (*cuts, FRAMES), strict=True):
        drawn = world(**part(given, views, start, stop), state=state)
        state = drawn.state
        planes.append(drawn.planes)
        hidden.append(drawn.hidden)
    assert torch.allclose(torch.cat(planes, 1), whole.planes, atol=1e-4)
    assert torch.allclose(torch.cat(hidden, 1), whole.hidden, atol=1e-4)


@torch.no_grad()
def test_a_draft_leaves_no_trace() -> None:
    world, given = model(), frames()
    views = memory(world)
    state = world(**part(given, views, 0, 6), state=world.init_state(BATCH)).state
    last = part(given, views, 6, 7)
    expected = world(**last, state=state, keep=False).planes
    for _ in range(2):
        drawn = world(**{**last, "noisy": normal(BATCH, 1, SIDE, SIDE, 4)}, state=state, keep=False)
        state = drawn.state
    assert torch.equal(world(**last, state=state).planes, expected)


@torch.no_grad()
def test_a_reset_forgets_all() -> None:
    world, given = model(), frames()
    reset = torch.zeros(BATCH, FRAMES, dtype=torch.bool)
    reset[:, 4] = True
    whole = world(**given, state=world.init_state(BATCH), reset=reset).planes
    alone = {name: tensor[:, 4:] for name, tensor in given.items()}
    fresh = world(**alone, state=world.init_state(BATCH)).planes
    assert torch.allclose(whole[:, 4:], fresh, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [dict(window_frames=0), dict(tiles=()), dict(use_memory=False)], ids=str
)
@torch.no_grad()
def test_parts_can_be_left_out(changes: dict[str, Any]) -> None:
    world, given = model(**changes), frames()
    drawn = world(**given, state=world.init_state(BATCH))
    assert drawn.planes.shape == given["noisy"].shape
    assert (world.pose_channels == 0) == ("use_memory" in changes)


@torch.no_grad()
def test_everything_given_counts() -> None:
    world, given = model(), frames()
    views = memory(world)
    state = world.init_state(BATCH)
    known = world(**given, state=state, memory=views, keep=False).planes
    assert not torch.equal(world(**given, state=state, keep=False).planes, known)
    for name, tensor in given.items():
        other = {**given, name: tensor.flip(0)}
        assert not torch.equal(world(**other, state=state, memory=views, keep=False).planes, known)


def test_every_parameter_learns() -> None:
    world, given = model(), frames()
    ages = torch.rand(BATCH, FRAMES, VIEWS, generator=torch.Generator().manual_seed(6))
    drawn = world(**given, state=world.init_state(BATCH), memory=memory(world), ages_s=ages)
    motion = world.motion(drawn.hidden, given["action"])
    assert motion.shape == (BATCH, FRAMES, 6)
    (drawn.planes.square().sum() + motion.square().sum()).backward()
    for name, parameter in world.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    world, given = model(), frames()
    world.save_pretrained(tmp_path)
    again = WorldTransformer.from_pretrained(tmp_path)
    drawn, expected = (w(**given, state=w.init_state(BATCH)).planes for w in (again, world))
    assert torch.equal(drawn, expected)


def test_equal_noise_draws_equal_frames() -> None:
    world, given = model(), frames()
    drawn = []
    for seed in (7, 7, 8):
        _, state = take_in(
            world,
            world.init_state(BATCH),
            given["noisy"][:, :6],
            given["action"][:, :6],
            given["rays"][:, :6],
        )
        planes, hidden, after = draw_frame(
            world,
            state,
            action=given["action"][:, 6:],
            rays=given["rays"][:, 6:],
            noise=normal(BATCH, 1, SIDE, SIDE, 4, seed=seed),
            levels=levels_down(3),
        )
        drawn.append(planes)
        assert hidden.shape == (BATCH, 1, 32)
        local = after.layers[0].local
        assert local is not None
        assert int(local.frames) == 7
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].abs().max() <= 1


@torch.no_grad()
def test_in_bfloat16_it_draws_nearly_the_same() -> None:
    world, given = model(), frames()
    exact = world(**given, state=world.init_state(BATCH), memory=memory(world)).planes
    world.to(torch.bfloat16)
    drawn = world(**given, state=world.init_state(BATCH), memory=memory(world))
    assert drawn.planes.dtype == torch.bfloat16
    assert (drawn.planes.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


@torch.no_grad()
def test_patches_lie_where_they_are_seen() -> None:
    world = model()
    planes = normal(2, SIDE, SIDE, 4)
    patches = world._patches(planes)
    assert torch.equal(patches[1, 2, 3].view(4, 4, 4), planes[1, 8:12, 12:16])
    assert torch.equal(world._picture(patches), planes)


def test_a_patch_must_divide_the_frame() -> None:
    with pytest.raises(ValueError, match="patch must divide a frame of 16 pixels, got 5"):
        model(patch=5)
