"""Noise, levels and steps."""

import pytest
import torch

from streammem.world.flow import SURE_LEVEL, LevelPlan, euler, levels_down, mix, velocity_loss


def test_half_of_the_clips_begin_with_finished_frames() -> None:
    levels, finished = LevelPlan().draw(2000, 20, torch.Generator().manual_seed(0))
    begins = finished.any(1)
    assert 0.45 < begins.float().mean() < 0.55
    length = finished[begins].sum(1)
    assert length.min() == 10
    assert length.max() == 19
    assert (finished[:, :-1] | ~finished[:, 1:]).all()
    assert (levels[finished] == SURE_LEVEL).all()
    assert ((levels > 0) & (levels < 1)).all()
    assert levels[~finished].std() > 0.1


def test_the_loss_is_that_of_the_velocity_of_unfinished_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    planes, noise, drawn = torch.randn(3, 2, 5, 4, 4, 4, generator=generator)
    level = torch.rand(2, 5, generator=generator) * 0.9 + 0.1
    finished = torch.zeros(2, 5, dtype=torch.bool)
    finished[0, :3] = True
    noisy = mix(planes, noise, level)
    velocity = (noisy - drawn) / level[:, :, None, None, None]
    error = (velocity - (noise - planes)).square()
    truth = torch.cat([error[0, 3:], error[1]]).mean()
    assert torch.allclose(velocity_loss(drawn, planes, level, finished), truth, rtol=1e-4)


def test_a_perfect_estimate_is_reached_along_a_straight_line() -> None:
    planes, noise = torch.randn(2, 1, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    frame = noise
    for level, after in zip(levels_down(3), levels_down(3)[1:], strict=False):
        assert torch.allclose(frame, mix(planes, noise, torch.tensor([[level]])), atol=1e-6)
        frame = euler(frame, planes, level, after)
    assert torch.allclose(frame, planes, atol=1e-6)


def test_levels_fall_from_noise_to_nothing() -> None:
    assert levels_down(1) == [1.0, 0.0]
    assert levels_down(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert levels_down(2, shift=3.0) == [1.0, 0.75, 0.0]
    with pytest.raises(ValueError, match="steps must be 1 or more, got 0"):
        levels_down(0)
