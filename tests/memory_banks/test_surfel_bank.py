"""A surfel bank in a room of which the truth is known."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from memory_banks.surfel_bank import SurfelBank, SurfelBankConfig
from memory_banks.surfel_bank.drawing import Drawing
from streammem.camera import unproject
from streammem.errors import UsageError
from streammem.ops.surfel_raster import surfel_raster
from streammem.records import Pose
from tests.memory_banks.surfel_scene import (
    ROOM,
    SIDE_PX,
    WALLS,
    Box,
    camera,
    painted,
    see,
    turn,
)

CONFIG = SurfelBankConfig(budget_mb=4.0)
WALL = Box((3.0, 0.0, 0.0), (3.2, 3.5, 2.5), painted(180, 90, 200))
CRATE = Box((1.6, 1.2, 0.0), (2.3, 1.9, 0.9), painted(90, 50, 20))
PLACES = ((1.0, 1.0), (1.5, 4.2), (4.6, 4.0), (4.5, 1.2))


def walk(
    bank: SurfelBank,
    poses: Iterable[Pose],
    boxes: Sequence[Box],
    *,
    start_s: float = 0.0,
    first_view: int = 0,
    room: Box = ROOM,
) -> None:
    """Write what is seen of `boxes` in `room` from `poses`, eight a second."""
    for step, pose in enumerate(poses):
        frame = see(pose, boxes, time_s=start_s + step / 8, room=room)
        bank.write(frame, view_id=first_view + step)


def all_around(places: Sequence[tuple[float, float]]) -> list[Pose]:
    return [pose for x, y in places for pose in turn(x, y)]


def drawn(bank: SurfelBank, pose: Pose) -> Drawing:
    return bank.render(pose, height_px=SIDE_PX, width_px=SIDE_PX)


def colour_off(drawing: Drawing, rgb: np.ndarray) -> float:
    """Return the share of known pixels of another colour than they should have."""
    off = np.abs(drawing.rgb.astype(int) - rgb).max(-1) > 20
    return float(off[drawing.known].mean())


@pytest.fixture(scope="module")
def seen_twice() -> SurfelBank:
    """A bank that knows the room with its wall and crate from two rounds."""
    bank = SurfelBank(CONFIG)
    walk(bank, all_around(PLACES), [WALL, CRATE])
    walk(bank, all_around(PLACES), [WALL, CRATE], start_s=20.0, first_view=100)
    return bank


@pytest.mark.parametrize(
    ("x_m", "y_m", "heading_deg", "up_deg"),
    [(1.3, 3.0, -70, 0), (2.2, 3.9, 215, -20), (5.2, 2.7, 160, 15), (4.1, 4.4, 272, -5)],
)
def test_a_new_pose_is_drawn_within_a_voxel_of_the_truth(
    seen_twice: SurfelBank, x_m: float, y_m: float, heading_deg: float, up_deg: float
) -> None:
    pose = camera(x_m, y_m, heading_deg=heading_deg, up_deg=up_deg)
    truth = see(pose, [WALL, CRATE])
    found = drawn(seen_twice, pose)
    assert found.known.mean() > 0.9
    off = np.abs(found.depth_m - truth.depth_m)[found.known]
    # Beside the edge of a thing its discs reach a part of a voxel too far.
    assert np.median(off) < 1e-3 and np.mean(off > CONFIG.voxel_m) < 0.03
    assert colour_off(found, truth.rgb) < 0.08
    assert found.rgb.dtype == np.uint8 and not found.rgb[~found.known].any()
    assert np.isnan(found.depth_m[~found.known]).all()
    assert (found.surfel >= 0).tolist() == found.known.tolist()


def test_an_exact_revisit_is_drawn_whole_and_finds_its_own_view(seen_twice: SurfelBank) -> None:
    for number, pose in enumerate(all_around(PLACES)):
        truth = see(pose, [WALL, CRATE])
        found = drawn(seen_twice, pose)
        assert found.known.mean() > 0.97 and found.settled.mean() > 0.96
        assert np.mean(np.abs(found.depth_m - truth.depth_m)[found.known] < 0.1) > 0.975
        views = seen_twice.retrieve(pose, k=8, height_px=SIDE_PX, width_px=SIDE_PX)
        assert len({one.view_id for one in views}) == 8
        assert np.isfinite([[one.share, one.gain, one.distance] for one in views]).all()
        covered = sum(one.gain for one in views[:4])
        assert covered > 0.9, number


def test_what_was_never_seen_is_unknown_also_behind_walls() -> None:
    bank = SurfelBank(CONFIG)
    walk(bank, turn(1.0, 1.0, steps=16), [WALL])
    for y in (0.6, 1.4, 2.0):
        beyond = camera(5.0, y, heading_deg=180)
        truth = see(beyond, [WALL])
        at = unproject(
            truth.depth_m.astype(float),
            intrinsics=beyond.intrinsics,
            camera_to_world=beyond.camera_to_world,
        )
        # How thick the wall is the bank cannot know, so that its ends are left out.
        inner = (at[..., 1] < 3.2) & (np.abs(at[..., 2] - 1.25) < 1)
        hidden = (np.abs(at[..., 0] - 3.2) < 1e-3) & inner
        assert hidden.mean() > 0.2
        assert not drawn(bank, beyond).known[hidden].any()
    away = drawn(bank, camera(1.0, 1.0, heading_deg=0, z_m=40.0))
    assert not away.known.any() and not bank.retrieve(
        away.pose, k=3, height_px=SIDE_PX, width_px=SIDE_PX
    )


def test_an_empty_bank_knows_nothing() -> None:
    bank = SurfelBank(CONFIG)
    pose = camera(1, 1, heading_deg=0)
    found = drawn(bank, pose)
    assert len(bank) == 0 and bank.views == ()
    assert not found.known.any() and np.isnan(found.depth_m).all() and (found.surfel == -1).all()
    explained = bank.explain(pose, k=4, height_px=SIDE_PX, width_px=SIDE_PX)
    assert (explained.known, explained.views, explained.found) == (0.0, 0, ())


@pytest.mark.parametrize("rule", ["coverage", "suppression"])
def test_one_view_is_enough_to_draw_and_to_be_found(rule: str) -> None:
    bank = SurfelBank(CONFIG)
    pose = camera(2, 2, heading_deg=20)
    truth = see(pose, [CRATE], time_s=3.0)
    bank.write(truth, view_id=7)
    found = drawn(bank, pose)
    assert found.known.mean() > 0.99 and not found.settled.any()
    assert colour_off(found, truth.rgb) < 0.05
    (view,) = bank.retrieve(pose, k=4, height_px=SIDE_PX, width_px=SIDE_PX, rule=rule)
    assert (view.view_id, view.time_s, view.age_s, view.distance) == (7, 3.0, 0.0, 0.0)
    assert view.share == pytest.approx(1) and view.gain == pytest.approx(1)
    assert str(view) == (
        "view 7, 0.0 s old, 0.00 away: saw 100% of what is known there, 100% of it new"
    )
    assert (view.pose.camera_to_world == pose.camera_to_world).all()


def test_views_that_see_the_target_are_found_and_no_others(seen_twice: SurfelBank) -> None:
    pose = camera(4.8, 1.4, heading_deg=175)  # at the wall, from the side of the last place
    for rule in ("coverage", "suppression"):
        views = seen_twice.retrieve(pose, k=4, height_px=SIDE_PX, width_px=SIDE_PX, rule=rule)
        assert len(views) == 4
        assert all(one.pose.camera_to_world[0, 3] > 3.2 for one in views), rule
    path = [pose, camera(4.8, 1.4, heading_deg=90)]
    both = seen_twice.retrieve(path, k=6, height_px=SIDE_PX, width_px=SIDE_PX)
    assert sum(one.gain for one in both[:4]) > 0.8


def test_an_explanation_holds_what_was_voted_by(seen_twice: SurfelBank) -> None:
    pose = camera(1.4, 3.1, heading_deg=-80)
    explained = seen_twice.explain(pose, k=3, height_px=SIDE_PX, width_px=SIDE_PX)
    found = seen_twice.retrieve(pose, k=3, height_px=SIDE_PX, width_px=SIDE_PX)
    (drawing,) = explained.drawings
    assert explained.rule == "coverage" and explained.views >= 3
    assert explained.known == drawing.known.mean() > 0.9
    assert [str(one) for one in explained.found] == [str(one) for one in found]
    assert [one.gain for one in found] == sorted((one.gain for one in found), reverse=True)
    assert all(0 < one.gain <= one.share <= 1 and one.age_s >= 0 for one in found)


def test_torch_draws_the_same_from_the_discs(seen_twice: SurfelBank) -> None:
    torch = pytest.importorskip("torch")
    pose = camera(2.2, 3.9, heading_deg=215, up_deg=-20)
    discs = seen_twice.discs(pose)
    parts = (discs.centres, discs.normals, discs.radii, discs.ranks)
    surfel, depth_m = surfel_raster(
        *(torch.from_numpy(np.ascontiguousarray(part)) for part in parts),
        intrinsics=pose.intrinsics,
        height_px=SIDE_PX,
        width_px=SIDE_PX,
        band_m=CONFIG.voxel_m,
    )
    found = drawn(seen_twice, pose)
    same = surfel.numpy()[found.known] == found.surfel[found.known]
    assert same.mean() > 0.99
    assert depth_m.numpy()[found.known][same] == pytest.approx(
        found.depth_m[found.known][same], abs=1e-4
    )


def test_unknown_depth_makes_nothing_and_denies_nothing() -> None:
    bank = SurfelBank(CONFIG)
    pose = camera(2, 2, heading_deg=20)
    frame = see(pose, [CRATE])
    bank.write(frame, view_id=0)
    held = bank.state()
    for value in (np.nan, 0.0, -1.0):
        blank = see(pose, time_s=1.0)
        blank.depth_m[:] = value
        bank.write(blank, view_id=None)
    assert all(
        held[name].tobytes() == one.tobytes()
        for name, one in bank.state().items()
        if name.startswith("surfel.")
    )


def test_the_sky_lets_things_before_it_be_seen_through() -> None:
    outside = camera(0, 0, heading_deg=0)
    ball = Box((3.0, -0.5, 0.8), (3.5, 0.5, 1.8), painted(250, 120, 0))
    for nothing, left in ((np.inf, False), (np.nan, True)):
        bank = SurfelBank(CONFIG)
        for step in range(20):
            bank.write(see(outside, [ball], room=None, time_s=step, nothing=nothing), view_id=step)
        assert drawn(bank, outside).known.any()
        for step in range(20, 23):
            bank.write(see(outside, room=None, time_s=step, nothing=nothing), view_id=step)
        assert (len(bank) > 0) == left
        assert drawn(bank, outside).known.any() == left


def test_a_look_from_afar_does_not_deny_what_falls_between_its_pixels() -> None:
    near, far = (camera(x, 0, heading_deg=0) for x in (0.0, -40.0))
    ball = Box((3.0, -0.2, 1.0), (3.3, 0.2, 1.4), painted(250, 120, 0))
    bank = SurfelBank(CONFIG)
    for step in range(3):
        bank.write(see(near, [ball], room=None, time_s=step, nothing=np.inf), view_id=step)
    held = len(bank)
    for step in range(3, 9):
        bank.write(see(far, room=None, time_s=step, nothing=np.inf), view_id=step)
    assert len(bank) == held > 10


@pytest.mark.parametrize("up_deg", [90.0, -90.0, 45.0])
def test_straight_up_and_down_are_poses_like_others(up_deg: float) -> None:
    bank = SurfelBank(CONFIG)
    pose = camera(3, 2.5, heading_deg=10, up_deg=up_deg)
    truth = see(pose)
    bank.write(truth, view_id=0)
    found = drawn(bank, pose)
    assert found.known.mean() > 0.99
    assert np.mean(np.abs(found.depth_m - truth.depth_m)[found.known] < 0.1) > 0.97


def test_a_pose_that_is_none_is_refused() -> None:
    bank = SurfelBank(CONFIG)
    pose = camera(1, 1, heading_deg=0)
    skewed = Pose(pose.camera_to_world * 2, pose.intrinsics)
    with pytest.raises(UsageError, match="is no rotation and place"):
        drawn(bank, skewed)
    frame = see(pose)
    frame.pose.camera_to_world[0, 3] = np.nan
    with pytest.raises(UsageError, match="is no rotation and place"):
        bank.write(frame, view_id=0)


def test_a_camera_inside_the_map_sees_what_is_before_it(seen_twice: SurfelBank) -> None:
    inside = camera(3.1, 1.0, heading_deg=0)  # within the wall
    found = drawn(seen_twice, inside)
    assert np.isfinite(found.depth_m[found.known]).all()


def test_a_wall_painted_over_is_drawn_in_its_new_colour() -> None:
    bank = SurfelBank(CONFIG)
    walk(bank, all_around(PLACES[:2]), [])
    colours = WALLS.copy()
    colours[0], colours[3] = (20, 20, 20), (250, 250, 250)
    room = Box(ROOM.low, ROOM.high, colours)
    poses = [camera(1.4, 3.0, heading_deg=heading) for heading in range(0, 360, 30)]
    walk(bank, poses, [], start_s=60.0, first_view=200, room=room)
    for x, y, heading in ((1.2, 2.0, 170), (2.0, 3.5, 120), (1.6, 3.4, 95)):
        pose = camera(x, y, heading_deg=heading)
        assert colour_off(drawn(bank, pose), see(pose, room=room).rgb) < 0.06


def test_a_thing_that_moved_is_drawn_where_it_is_now() -> None:
    bank = SurfelBank(CONFIG)
    moved = Box((3.6, 3.0, 0.0), (4.3, 3.7, 0.9), CRATE.colours)
    walk(bank, all_around(PLACES), [CRATE])
    looks = [
        camera(x, y, heading_deg=heading)
        for x, y in ((1.0, 4.0), (4.8, 1.0), (3.0, 2.5))
        for heading in range(0, 360, 30)
    ]
    walk(bank, looks * 2, [moved], start_s=60.0, first_view=300)
    state = bank.state()
    at = state["surfel.position"]
    # What is within a voxel and a half of the floor may belong to it.
    low, high = np.add(CRATE.low, (-0.05, -0.05, 0.15)), np.add(CRATE.high, 0.05)
    in_old = ((at > low) & (at < high)).all(axis=1)
    assert in_old.sum() == 0
    assert bank.evicted["contradicted"] > 100
    for pose in (camera(1.2, 3.6, heading_deg=-60), camera(2.2, 3.6, heading_deg=-8)):
        truth = see(pose, [moved])
        found = drawn(bank, pose)
        assert np.mean(np.abs(found.depth_m - truth.depth_m)[found.known] > 0.15) < 0.04
        assert colour_off(found, truth.rgb) < 0.08


def test_what_passes_by_leaves_nothing() -> None:
    pose = camera(0.6, 2.5, heading_deg=0, up_deg=-10)
    bank = SurfelBank(CONFIG)
    for step in range(8):
        bank.write(see(pose, time_s=step / 8), view_id=step)
    still = bank.state()["surfel.position"]
    for step in range(20):
        y = 0.4 + 0.2 * step
        walker = Box((2.5, y, 0.0), (2.9, y + 0.4, 1.8), painted(255, 0, 255))
        bank.write(see(pose, [walker], time_s=1 + step / 8), view_id=100 + step)
        if step > 2:
            away = drawn(bank, pose)
            assert colour_off(away, see(pose).rgb) < 0.02, "it is not drawn while it passes"
    for step in range(3):
        bank.write(see(pose, time_s=4 + step / 8), view_id=200 + step)
    colours = bank.state()["surfel.colour"]
    assert not (np.abs(colours - [255, 0, 255]).max(axis=1) < 60).any()
    assert len(bank) <= 1.02 * len(still)


def test_one_wrong_look_does_not_undo_what_was_seen_often(seen_twice: SurfelBank) -> None:
    bank = SurfelBank.restore(seen_twice.state())
    pose = camera(2.0, 3.6, heading_deg=-90)
    truth = see(pose, [WALL, CRATE])
    wrong = see(pose, [WALL, CRATE], time_s=50.0)
    wrong.depth_m[:] *= 1.5
    bank.write(wrong, view_id=500)
    found = drawn(bank, pose)
    assert np.mean(np.abs(found.depth_m - truth.depth_m)[found.known] < 0.1) > 0.95


def test_equal_frames_give_equal_banks(seen_twice: SurfelBank) -> None:
    again = SurfelBank(CONFIG)
    walk(again, all_around(PLACES), [WALL, CRATE])
    walk(again, all_around(PLACES), [WALL, CRATE], start_s=20.0, first_view=100)
    first, second = seen_twice.state(), again.state()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
