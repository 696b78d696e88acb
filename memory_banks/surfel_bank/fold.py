"""What a frame changes in the map."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Rows, Table
from memory_banks.surfel_bank.drawing import settled
from memory_banks.surfel_bank.forget import (
    SPARE_SHARE,
    SurfelEviction,
    least_missed,
    reported,
)
from memory_banks.surfel_bank.judge import Verdict
from memory_banks.surfel_bank.look import Look
from memory_banks.surfel_bank.merge import LEAST_RADIUS, Samples, merge
from memory_banks.surfel_bank.settings import SurfelBankConfig
from memory_banks.surfel_bank.sightings import NONE, add_view

MISSED_SHARE = 0.25
"""What a settled surfel loses when it is missed, of what being seen through costs."""


def fold(
    surfels: Table,
    look: Look,
    verdict: Verdict,
    samples: Samples,
    *,
    view_ranks: NDArray[np.int32],
    named: bool,
    config: SurfelBankConfig,
) -> list[SurfelEviction]:
    """Bring one frame into `surfels`; return which had to go.

    `named` says that the frame is the last of the views, whose ranks are `view_ranks [M]`.
    """
    old = samples.rows < surfels.size
    rows, means = samples.rows[old], {name: mean[old] for name, mean in samples.means.items()}
    fresh = {name: mean[~old] for name, mean in samples.means.items()}
    _repaint(surfels, look, verdict, change=config.colour_change)
    merge(surfels, rows, means)
    sharpen = np.maximum(look.radius_m[verdict.pixels], LEAST_RADIUS * config.voxel_m)
    surfels["radius"][verdict.seen] = np.minimum(surfels["radius"][verdict.seen], sharpen)

    gained = np.zeros(surfels.size, dtype=np.float32)
    gained[verdict.seen] = look.confidence[verdict.pixels]
    gained[rows] = means["weight"]
    sighted = np.flatnonzero(gained)
    weight = surfels["weight"]
    weight[sighted] = np.minimum(weight[sighted] + gained[sighted], config.weight_limit)
    surfels["last_s"][sighted] = look.time_s
    view = len(view_ranks) - 1 if named else NONE
    if named:
        add_view(surfels["views"], sighted, view, ranks=view_ranks)

    cost = np.zeros(surfels.size, dtype=np.float32)
    cost[verdict.through] = config.through_cost
    cost[verdict.missed] = MISSED_SHARE * config.through_cost
    unsettled = verdict.missed[~settled(surfels, settle_s=config.settle_s)[verdict.missed]]
    cost[unsettled] = config.through_cost
    cost[sighted] = 0
    weight -= cost
    gone = (cost > 0) & (weight <= 0)
    evictions = reported(surfels["voxel"][gone], "contradicted", voxel_m=config.voxel_m)
    surfels.keep(~gone)
    return evictions + _append(surfels, fresh, look.time_s, view=view, config=config)


def _repaint(surfels: Table, look: Look, verdict: Verdict, *, change: float) -> None:
    """Give surfels their new colour where it is another than that of any pixel around theirs.

    The bounds of the colours around a pixel tell a stale colour from one that only fell between
    pixels, as neighbourhood clamping does in temporal antialiasing (Karis, SIGGRAPH 2014).
    """
    held = surfels["colour"][verdict.seen]
    low, high = look.darkest[verdict.pixels] - change, look.brightest[verdict.pixels] + change
    stale = ((held < low) | (held > high)).any(axis=1)
    surfels["colour"][verdict.seen[stale]] = look.colour[verdict.pixels[stale]]


def _append(
    surfels: Table,
    fresh: dict[str, Rows],
    time_s: float,
    *,
    view: int,
    config: SurfelBankConfig,
) -> list[SurfelEviction]:
    """Put new surfels into the map, where need be in the place of those that are least missed.

    Of a frame that alone is more than there is room for, an even part is taken.
    """
    lost = []
    count = len(fresh["voxel"])
    if count > surfels.capacity:
        taken = np.zeros(count, dtype=np.bool_)
        taken[np.arange(surfels.capacity) * count // surfels.capacity] = True
        lost.append(fresh["voxel"][~taken])
        fresh = {name: mean[taken] for name, mean in fresh.items()}
        count = surfels.capacity
    lacking = surfels.size + count - surfels.capacity
    if lacking > 0:
        spare = min(surfels.size, lacking + int(surfels.capacity * SPARE_SHARE))
        kept = np.ones(surfels.size, dtype=np.bool_)
        kept[least_missed(surfels, spare, now_s=time_s, voxel_m=config.voxel_m)] = False
        lost.append(surfels["voxel"][~kept])
        surfels.keep(kept)
    views = np.full((count, config.surfel_views), NONE)
    views[:, 0] = view
    times = np.full(count, time_s)
    surfels.append({**fresh, "first_s": times, "last_s": times, "views": views})
    if not lost:
        return []
    return reported(np.concatenate(lost), "capacity", voxel_m=config.voxel_m)
