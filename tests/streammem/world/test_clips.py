"""Clips of a walk along a wall, where what each frame sees is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from streammem import camera
from streammem.world.clips import ClipPlan, covered, draw_clips
from streammem.world.episodes import Episode
from streammem.world.planes import from_planes, to_planes

LENS = camera.intrinsics_of(width_px=16, height_px=16, horizontal_deg=90)
WALL_M = 5.0


def walk(xs: np.ndarray) -> Episode:
    """Return a walk at `xs` metres along a wall, looking straight at it."""
    count = len(xs)
    pose = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    pose[:, 0, 3] = xs
    rgb = np.zeros((count, 16, 16, 3), np.uint8)
    rgb[..., 0] = np.arange(count)[:, None, None]
    return Episode(
        rgb=rgb,
        depth_m=np.full((count, 16, 16), WALL_M, np.float16),
        pose=pose,
        action=(np.arange(count) % 3).astype(np.uint8),
        intrinsics=LENS,
        actions=np.array(["stay", "left", "right"]),
        blocks=np.zeros((1, 1), np.int8),
        colours=np.array(["red"]),
        objects_m=np.zeros((0, 2)),
        fps=np.array(8.0),
        seed=np.array(0),
        versions=np.array(["test==1"]),
    )


def test_the_share_of_the_wall_that_others_saw() -> None:
    # At 5 m a picture of 90 degrees is 10 m wide.
    there = covered(walk(np.array([0.0, 2.5, 5, 20])), target=0, candidates=np.array([0, 1, 2, 3]))
    assert there.shape == (4, 256)
    assert there.mean(1) == pytest.approx([1, 0.75, 0.5, 0], abs=0.07)


def test_what_stands_before_the_wall_hides_it() -> None:
    hidden = walk(np.array([0.0, 0.0]))
    depth = hidden.depth_m.copy()
    depth[1, :, :8] = 2
    hidden = replace(hidden, depth_m=depth)
    assert covered(hidden, target=0, candidates=np.array([1])).mean() == pytest.approx(0.5, abs=0.1)


def test_the_sky_is_not_asked_for() -> None:
    open_air = walk(np.array([0.0, 0.0]))
    depth = open_air.depth_m.copy()
    depth[0, :8] = np.nan
    assert covered(replace(open_air, depth_m=depth), target=0, candidates=np.array([1])).shape == (
        1,
        128,
    )


def test_clips_are_cut_from_the_walk() -> None:
    there_and_back = np.concatenate([np.arange(60), np.arange(60)[::-1]]) * 0.5
    plan = ClipPlan(frames=16, views=3, segment=8, gap=4, none_share=0, wrong_share=0)
    rng = np.random.default_rng(0)
    clips = draw_clips([walk(there_and_back)], plan, clips=12, cell_px=8, rng=rng)
    number = ((clips.planes[:, :, 0, 0, 0] + 1) * 127.5).round().long()
    assert (number.diff(dim=1) == 1).all()
    assert torch.equal(clips.action, number % 3)
    assert clips.rays.shape == (12, 16, 2, 2, 6)
    assert torch.equal(clips.rays[0, 0], clips.rays[7, 0])
    assert torch.allclose(clips.motion[..., 0].abs().amax(1), torch.tensor(0.5))
    assert torch.allclose(clips.motion[..., 1:], torch.zeros(5))

    seen = (
        ((clips.view_planes[..., 0, 0, 0] + 1) * 127.5).round().long()
    )  # [clips, segments, views]
    first = number[:, ::8, None]
    valid = clips.view_valid
    assert valid.any()
    assert (seen < first - plan.gap)[valid].all()
    ages = (first + 4 - seen).float() / 8
    assert torch.allclose(clips.view_age_s[valid], ages[valid])
    place = torch.from_numpy(there_and_back)
    apart = (place[seen] - place[first + 4]).abs()
    assert (apart[valid] < 10).all()
    coming_back = (first[..., 0] > 70) & valid[..., 0]
    assert coming_back.any()
    assert (apart[..., 0][coming_back] <= 3).all()


def test_a_walk_must_be_longer_than_a_clip() -> None:
    with pytest.raises(ValueError, match="more than 16 frames, got 16"):
        draw_clips(
            [walk(np.arange(16.0))],
            ClipPlan(frames=16),
            clips=1,
            cell_px=8,
            rng=np.random.default_rng(0),
        )


def test_planes_and_back() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(256, size=(3, 4, 5, 3), dtype=np.uint8)
    depth = rng.uniform(0.1, 20, size=(3, 4, 5)).astype(np.float32)
    depth[0, 0] = np.nan
    planes = to_planes(rgb, depth)
    assert planes.shape == (3, 4, 5, 4)
    assert planes.abs().max() <= 1
    colours, back = from_planes(planes)
    assert np.array_equal(colours, rgb)
    assert np.allclose(back, depth, rtol=1e-3, equal_nan=True)
