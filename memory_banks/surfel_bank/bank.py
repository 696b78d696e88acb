"""The surfel bank: a map of what was seen, drawn from anywhere, that follows a changing world."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import VIEW_FORM, Floats, Table, surfel_form
from memory_banks.surfel_bank.drawing import Discs, Drawing, discs_of, draw
from memory_banks.surfel_bank.fold import fold
from memory_banks.surfel_bank.forget import SPARE_SHARE, Forgotten
from memory_banks.surfel_bank.judge import judge
from memory_banks.surfel_bank.look import Look, look_at
from memory_banks.surfel_bank.merge import sample
from memory_banks.surfel_bank.records import RULES, Explanation, FoundView, Rule
from memory_banks.surfel_bank.settings import (
    SurfelBankConfig,
    goes_on,
    numbers_of,
    settings_of,
)
from memory_banks.surfel_bank.sightings import forget_views, rank_of, worth
from memory_banks.surfel_bank.votes import Ballot, apart
from memory_banks.surfel_bank.voxels import VoxelIndex
from streammem.errors import UsageError, one_of
from streammem.records import Frame, Pose

SURFEL, VIEW = "surfel.", "view."
REASONS = ("capacity", "contradicted", "views")
"""What is counted of all that left: surfels by reason, and views."""


class SurfelBank:
    """Surfels with the views that saw them, within one budget.

    A surfel map as in VMem (arXiv 2506.18903), kept by weights, so that what is seen through goes,
    what is painted over is replaced, and what passes by is not welded in.
    """

    def __init__(self, config: SurfelBankConfig | None = None) -> None:
        self.config = config or SurfelBankConfig()
        self._surfels = Table(
            surfel_form(views=self.config.surfel_views), capacity=self.config.surfels
        )
        self._views = Table(VIEW_FORM, capacity=self.config.views)
        self._index = VoxelIndex(self._surfels["voxel"])
        self._last_s = -np.inf
        self.evicted: Counter[str] = Counter(dict.fromkeys(REASONS, 0))

    @classmethod
    def restore(
        cls, state: Mapping[str, NDArray[Any]], *, config: SurfelBankConfig | None = None
    ) -> "SurfelBank":
        """Return the bank whose `state` this is; it goes on exactly as that one would have.

        Raises `UsageError` for settings with which it cannot, ValueError or KeyError for what is
        no state.
        """
        columns = {
            part: {
                name.removeprefix(part): column
                for name, column in state.items()
                if name.startswith(part)
            }
            for part in (SURFEL, VIEW)
        }
        saved = settings_of(state["settings"])
        surfels, views = len(columns[SURFEL]["voxel"]), len(columns[VIEW]["view_id"])
        bank = cls(goes_on(saved, config, surfels=surfels, views=views))
        bank._surfels.fill(columns[SURFEL])
        bank._views.fill(columns[VIEW])
        bank._index = VoxelIndex(bank._surfels["voxel"])
        bank._last_s = float(state["last_s"][0])
        bank.evicted.update(dict(zip(REASONS, state["evicted"].tolist(), strict=True)))
        return bank

    def __len__(self) -> int:
        return self._surfels.size

    @property
    def views(self) -> tuple[int, ...]:
        """The ids of the views that are held, in the order they came."""
        return tuple(self._views["view_id"].tolist())

    @property
    def bytes(self) -> int:
        """What is taken of the budget at most, in RAM and file, however much of it is filled."""
        return self.config.held_bytes

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that the bank is, as arrays."""
        return {
            **{SURFEL + name: column for name, column in self._surfels.copies().items()},
            **{VIEW + name: column for name, column in self._views.copies().items()},
            "settings": numbers_of(self.config),
            "last_s": np.array([self._last_s]),
            "evicted": np.array([self.evicted[reason] for reason in REASONS]),
        }

    def write(
        self, frame: Frame, *, view_id: int | None, confidence: Floats | None = None
    ) -> Forgotten:
        """Bring what `frame` shows into the map; return what had to go.

        The frame has a pose and z-depth `[H, W]` in metres, NaN where unknown, infinite where
        nothing is (sky), which lets things before it be seen through. `confidence [H, W]` in 0..1
        is how sure the depth is. The frame is named by `view_id` in later reads; None leaves it
        out, as for frames that are not kept.
        Raises `UsageError` for a frame that lacks a part or is older than the last.
        """
        config, surfels = self.config, self._surfels
        look = look_at(frame, confidence=confidence, far_m=config.far_m)
        self._check(look, view_id)
        verdict = judge(surfels, look, config)
        samples = sample(look, surfels, self._index, config)
        lost = () if view_id is None else self._make_view(look, view_id)
        evictions = fold(
            surfels,
            look,
            verdict,
            samples,
            view_ranks=self._views["rank"],
            named=view_id is not None,
            config=config,
        )
        self._index = VoxelIndex(surfels["voxel"])
        self._last_s = look.time_s
        for gone in evictions:
            self.evicted[gone.reason] += gone.count
        self.evicted["views"] += len(lost)
        return Forgotten(tuple(evictions), lost)

    def render(self, pose: Pose, *, height_px: int, width_px: int) -> Drawing:
        """Return what is remembered of what a camera at `pose` would see.

        The intrinsics of `pose` belong to a picture of this size.
        """
        return draw(
            self._surfels,
            pose,
            height_px=height_px,
            width_px=width_px,
            settle_s=self.config.settle_s,
            band_m=self.config.voxel_m,
        )

    def discs(self, pose: Pose) -> Discs:
        """Return the surfels before a camera, to be drawn elsewhere with `surfel_raster`."""
        return discs_of(self._surfels, pose, settle_s=self.config.settle_s)

    def retrieve(
        self,
        targets: Pose | Sequence[Pose],
        *,
        k: int,
        height_px: int,
        width_px: int,
        rule: Rule = "coverage",
    ) -> list[FoundView]:
        """Return up to `k` views that saw what is known at a pose, or along a short path of them.

        Fewer are returned where fewer saw any of it: none where the bank knows nothing.
        """
        found = self.explain(targets, k=k, height_px=height_px, width_px=width_px, rule=rule)
        return list(found.found)

    def explain(
        self,
        targets: Pose | Sequence[Pose],
        *,
        k: int,
        height_px: int,
        width_px: int,
        rule: Rule = "coverage",
    ) -> Explanation:
        """Return what `retrieve` would, with what it was chosen by."""
        if rule not in RULES:
            raise one_of("rule", rule, RULES)
        path = [targets] if isinstance(targets, Pose) else list(targets)
        if k < 1 or not path:
            raise UsageError(f"ask for at least 1 view of 1 target, got {k} of {len(path)}")
        drawings = [self.render(pose, height_px=height_px, width_px=width_px) for pose in path]
        views = self._views
        ballot = Ballot(drawings, self._surfels["views"], count=views.size)
        target = np.asarray(path[0].camera_to_world, np.float64)
        if rule == "coverage":
            chosen = ballot.coverage(k)
        else:
            chosen = ballot.suppression(k, poses=views["camera_to_world"], target=target)
        return Explanation(
            rule=rule,
            known=float(np.mean([drawing.known.mean() for drawing in drawings])),
            views=int((ballot.share > 0).sum()),
            drawings=tuple(drawings),
            found=tuple(
                FoundView(
                    view_id=int(views["view_id"][view]),
                    pose=Pose(
                        views["camera_to_world"][view].copy(), views["intrinsics"][view].copy()
                    ),
                    time_s=float(views["time_s"][view]),
                    age_s=float(self._last_s - views["time_s"][view]),
                    share=float(ballot.share[view]),
                    gain=gain,
                    distance=float(apart(views["camera_to_world"][view], target)),
                )
                for view, gain in chosen
            ),
        )

    def _check(self, look: Look, view_id: int | None) -> None:
        """Refuse a frame that cannot follow those that were written."""
        if not look.time_s >= self._last_s:
            raise UsageError(
                f"the frame is of {look.time_s:g} s, the last one was of {self._last_s:g} s; write "
                "frames in the order of time"
            )
        if view_id is not None and (self._views["view_id"] == view_id).any():
            raise UsageError(f"view {view_id} is in the bank already; give each view its own id")
        reach = float(np.abs(look.pose.camera_to_world[:3, 3]).max()) + 2 * self.config.far_m
        if reach > self.config.world_m:
            raise UsageError(
                f"the camera is {reach:g} m from the origin, beyond the {self.config.world_m:g} m "
                f"that voxels of {self.config.voxel_m:g} m reach; move the origin nearer"
            )

    def _make_view(self, look: Look, view_id: int) -> tuple[int, ...]:
        """Take in a view; return the ids of those that made room, which witnessed least."""
        views = self._views
        lost: tuple[int, ...] = ()
        if views.size == views.capacity:
            count = max(1, int(views.capacity * SPARE_SHARE))
            value = worth(self._surfels["views"], count=views.size)
            kept = np.ones(views.size, dtype=np.bool_)
            kept[np.argsort(value, kind="stable")[:count]] = False
            lost = tuple(views["view_id"][~kept].tolist())
            forget_views(self._surfels["views"], kept)
            views.keep(kept)
        views.append(
            {
                "view_id": np.array([view_id]),
                "time_s": np.array([look.time_s]),
                "rank": np.array([rank_of(views.size + self.evicted["views"] + len(lost) + 1)]),
                "camera_to_world": look.pose.camera_to_world[None],
                "intrinsics": look.pose.intrinsics[None],
            }
        )
        return lost
