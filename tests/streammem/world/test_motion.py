"""Motions of a camera, there and back."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammem.world.motion import motion_between, moved, rotation, rotation_vector


@settings(deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3),
    angle=st.one_of(
        st.floats(0, math.pi), st.sampled_from([0.0, 1e-12, 1e-6, math.pi - 1e-7, math.pi])
    ),
)
def test_rotation_and_back(axis: tuple[float, ...], angle: float) -> None:
    vector = np.array(axis) / np.linalg.norm(axis) * angle
    turn = rotation(vector)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    assert np.allclose(rotation(rotation_vector(turn)), turn, atol=1e-6)
    assert np.linalg.norm(rotation_vector(turn)) == pytest.approx(angle, abs=1e-6)


def test_a_quarter_turn_to_the_right() -> None:
    turn = rotation(np.array([0, math.pi / 2, 0]))
    assert np.allclose(turn @ [0, 0, 1], [1, 0, 0])


def test_moving_by_what_lies_between_arrives() -> None:
    rng = np.random.default_rng(0)
    one, other = np.tile(np.eye(4), (2, 50, 1, 1))
    for pose in (one, other):
        pose[:, :3, :3] = rotation(rng.normal(size=(50, 3)))
        pose[:, :3, 3] = rng.normal(size=(50, 3)) * 10
    assert np.allclose(moved(one, motion_between(one, other)), other)


def test_forward_is_along_the_camera() -> None:
    pose = np.eye(4)
    pose[:3, :3] = rotation(np.array([0, math.pi / 2, 0]))
    assert np.allclose(moved(pose, np.array([0, 0, 2.0, 0, 0, 0]))[:3, 3], [2, 0, 0])
