"""What a frame says of the surfels there are, and what it makes of its points."""

import numpy as np
import pytest

from memory_banks.surfel_bank import SurfelBank, SurfelBankConfig
from memory_banks.surfel_bank.columns import Table, surfel_form
from memory_banks.surfel_bank.fold import fold
from memory_banks.surfel_bank.judge import Verdict, judge
from memory_banks.surfel_bank.look import look_at
from memory_banks.surfel_bank.merge import LEAST_RADIUS, Samples, merge, sample
from memory_banks.surfel_bank.voxels import VoxelIndex, voxels_of
from streammem.errors import UsageError
from streammem.records import Frame
from tests.memory_banks import plain_surfels as plain
from tests.memory_banks.surfel_scene import Box, camera, painted, see, turn

MEANS = ("position", "normal", "radius", "colour", "weight", "voxel")
CONFIG = SurfelBankConfig(budget_mb=1.0)
CRATE = Box((2.0, 1.0, 0.0), (3.0, 2.0, 1.5), painted(90, 50, 20))


def table_of(bank: SurfelBank) -> Table:
    state = bank.state()
    table = Table(surfel_form(views=8), capacity=CONFIG.surfels)
    table.append({name[7:]: one for name, one in state.items() if name.startswith("surfel.")})
    return table


def seen_room(*, time_s: float = 0.0) -> SurfelBank:
    bank = SurfelBank(CONFIG)
    for step, pose in enumerate(turn(4.2, 3.1, steps=8, side_px=32)):
        bank.write(see(pose, [CRATE], time_s=time_s + step, side_px=32), view_id=step)
    return bank


@pytest.mark.parametrize("hidden", [0.0, 0.2])
def test_surfels_are_judged_as_one_at_a_time(hidden: float) -> None:
    surfels = table_of(seen_room())
    said = {"seen": 0, "through": 0, "missed": 0, "": 0}
    for heading, boxes in ((200, []), (215, [CRATE]), (30, [CRATE]), (190, [])):
        frame = see(camera(4.4, 3.4, heading_deg=heading, up_deg=-8, side_px=24), boxes, side_px=24)
        rng = np.random.default_rng(heading)
        frame.depth_m[rng.random(frame.depth_m.shape) < hidden] = np.nan
        frame.depth_m[rng.random(frame.depth_m.shape) < hidden / 4] = np.inf
        verdict = judge(surfels, look_at(frame, confidence=None, far_m=100.0), CONFIG)
        found = np.full(surfels.size, "", dtype=object)
        found[verdict.seen], found[verdict.through] = "seen", "through"
        found[verdict.missed] = "missed"
        expected = [
            plain.judged(one, frame, voxel_m=0.1, noise=0.02, least_cosine=0.6)
            for one in zip(
                *(surfels[name].astype(float) for name in ("position", "normal", "radius")),
                strict=True,
            )
        ]
        assert (found == expected).mean() > 0.999
        for word in said:
            said[word] += expected.count(word)
    assert min(said.values()) > 30


def test_points_join_surfels_as_weighted_means() -> None:
    surfels = table_of(seen_room())
    frame = see(camera(3.9, 3.3, heading_deg=205, side_px=24), [CRATE], side_px=24)
    sure = np.random.default_rng(1).uniform(0.2, 1, (24, 24)).astype(np.float32)
    look = look_at(frame, confidence=sure, far_m=100.0)
    samples = sample(look, surfels, VoxelIndex(surfels["voxel"]), CONFIG)
    voxels = voxels_of(look.points, voxel_m=0.1)

    members: dict[int, list[int]] = {}
    left = []
    for point, voxel in enumerate(voxels.tolist()):
        rows = np.flatnonzero(surfels["voxel"] == voxel)
        cosines = [float(surfels["normal"][row] @ look.normals[point]) for row in rows]
        if len(rows) and max(cosines) >= 0.6:
            members.setdefault(int(rows[int(np.argmax(cosines))]), []).append(point)
        else:
            left.append(point)
    fresh = plain.groups(voxels[left], look.normals[left], least_cosine=0.6)
    groups = {tuple(points) for points in members.values()}
    groups |= {tuple(left[point] for point in points) for points in fresh}
    assert len(groups) == len(samples.rows) == len(set(samples.rows.tolist()))
    assert (samples.rows >= surfels.size).sum() == len(fresh) > 20

    before = surfels.copies()
    old = samples.rows < surfels.size
    merge(surfels, samples.rows[old], {name: one[old] for name, one in samples.means.items()})
    for row, points in members.items():
        weights = sure.reshape(-1)[points].astype(float)
        held = float(before["weight"][row])
        share = weights.mean() / (held + weights.mean())
        for name, values in (("position", look.points), ("colour", look.colour)):
            mean = np.average(values[points].astype(float), axis=0, weights=weights)
            expected = (1 - share) * before[name][row] + share * mean
            assert surfels[name][row] == pytest.approx(expected, abs=1e-3)
        normal = np.average(look.normals[points].astype(float), axis=0, weights=weights)
        normal /= np.linalg.norm(normal)
        normal = (1 - share) * before["normal"][row] + share * normal
        expected = normal / np.linalg.norm(normal)
        assert surfels["normal"][row] == pytest.approx(expected, abs=1e-4)
        radius = np.average(np.maximum(look.radius_m[points], LEAST_RADIUS * 0.1), weights=weights)
        assert surfels["radius"][row] == pytest.approx(min(radius, before["radius"][row]), rel=1e-4)


def test_what_is_found_in_its_place_is_not_doubted() -> None:
    surfels = table_of(seen_room())
    look = look_at(see(camera(4, 3, heading_deg=0), [CRATE]), confidence=None, far_m=100.0)
    surfels["weight"][:] = 1.0
    both = np.array([3, 5])
    means = {name: surfels[name][both[:1]].copy() for name in MEANS}
    none = np.zeros(0, dtype=np.int64)
    gone = surfels["voxel"][5]
    size = surfels.size
    (left,) = fold(
        surfels,
        look,
        Verdict(none, none, both, none),
        Samples(both[:1], means),
        view_ranks=np.zeros(0, np.int32),
        named=False,
        config=CONFIG,
    )
    assert (left.reason, left.count, surfels.size) == ("contradicted", 1, size - 1)
    assert surfels["weight"][3] == 2.0 and gone not in surfels["voxel"]


def broken(**other: object) -> Frame:
    frame = see(camera(3, 2, heading_deg=0, side_px=8), side_px=8)
    parts = {name: getattr(frame, name) for name in Frame.__slots__}
    return Frame(**{**parts, **other})


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (broken(pose=None), "frame 0 has no pose; a surfel is made of both"),
        (broken(depth_m=None), "frame 0 has no depth"),
        (broken(depth_m=np.ones((4, 8), np.float32)), r"its depth \(4, 8\) and its confidence"),
        (broken(time_s=-1.0), "the frame is of -1 s, the last one was of 0 s; write frames in"),
        (broken(time_s=float("nan")), "the frame is of nan s"),
    ],
)
def test_a_frame_that_cannot_be_written_is_refused(frame: Frame, words: str) -> None:
    bank = SurfelBank(CONFIG)
    bank.write(broken(), view_id=None)
    before = bank.state()
    with pytest.raises(UsageError, match=words):
        bank.write(frame, view_id=3)
    after = bank.state()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_other_refusals_say_what_to_do() -> None:
    bank = SurfelBank(CONFIG)
    bank.write(broken(), view_id=1)
    with pytest.raises(UsageError, match="view 1 is in the bank already; give each view its own"):
        bank.write(broken(), view_id=1)
    with pytest.raises(UsageError, match="confidence of frame 0 must lie in 0 to 1"):
        bank.write(broken(), view_id=2, confidence=np.full((8, 8), 2.0, np.float32))
    far = see(camera(3, 2, heading_deg=0, side_px=8), side_px=8)
    far.pose.camera_to_world[0, 3] = 1e6
    with pytest.raises(UsageError, match=r"m from the origin, beyond the .* move the origin"):
        bank.write(far, view_id=2)
    pose = camera(3, 2, heading_deg=0)
    with pytest.raises(UsageError, match="rule 'best' is not known; choose one of coverage, supp"):
        bank.retrieve(pose, k=2, height_px=8, width_px=8, rule="best")
    with pytest.raises(UsageError, match="ask for at least 1 view of 1 target, got 0 of 1"):
        bank.retrieve(pose, k=0, height_px=8, width_px=8)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"budget_mb": 0.05}, r"budget_mb must be 0\.\d+ to 1e\+06, got 0.05"),
        ({"voxel_m": 0.0}, "voxel_m must be 0.0001 to 1000, got 0.0"),
        ({"surfel_views": 2}, "surfel_views must be 3 to 64, got 2"),
        ({"settle_s": float("nan")}, "settle_s must be 0 to 1e[+]09, got nan"),
    ],
)
def test_settings_that_make_no_bank_are_refused(other: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SurfelBankConfig(**other)
