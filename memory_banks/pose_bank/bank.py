"""The pose bank: what was seen from where, within one budget, found again in milliseconds."""

import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.context_as_memory import context_as_memory
from memory_banks.pose_bank.controls import fixed_offset, oracle, random, recency
from memory_banks.pose_bank.coverage import Sights, sights_of
from memory_banks.pose_bank.frustum import frustum_of
from memory_banks.pose_bank.picks import Pick
from memory_banks.pose_bank.records import (
    Chosen,
    Explanation,
    Mask,
    Rule,
    Target,
    Truth,
    View,
)
from memory_banks.pose_bank.redundancy import count_in, count_out, cover_of, spare
from memory_banks.pose_bank.rows import nearness_of, row_of
from memory_banks.pose_bank.settings import PoseBankConfig
from memory_banks.pose_bank.store import Beside, Changes, PoseStore, new
from memory_banks.pose_bank.worldmem import worldmem
from streammem.errors import UsageError, one_of
from streammem.records import Eviction, Pose


class PoseBank:
    """Views of a world by where they were taken; made by `open_pose_bank`.

    What was added is durable after `checkpoint`, and `close` makes one. A reopened bank goes on
    exactly as it would have. One thread at a time.
    """

    def __init__(self, store: PoseStore | None, *, config: PoseBankConfig | None = None) -> None:
        self._store = store
        found = new(config or PoseBankConfig()) if store is None else store.load(config)
        self.path = None if store is None else store.path
        self.writable = store is None or store.writable
        self.config = found.config
        self._columns: Columns = found.columns
        self._next_id = found.next_id
        self._evicted = found.evicted
        self._log: deque[Eviction] = deque(found.log, maxlen=self.config.eviction_log)
        self._changes = Changes(self.config.eviction_log)
        self._closed = False

    def __len__(self) -> int:
        return self._columns.count

    @property
    def bytes(self) -> int:
        """What the bank takes, in RAM and file together."""
        return self.config.fixed_bytes + len(self) * self.config.view_bytes

    @property
    def budget_bytes(self) -> int:
        """What the bank may take."""
        return int(self.config.budget_mb * 1_000_000)

    @property
    def evicted(self) -> int:
        """How many views have left, for any reason."""
        return self._evicted

    def add(
        self,
        pose: Pose,
        *,
        width_px: int,
        height_px: int,
        time_s: float,
        payload_id: int,
        depth_m: NDArray[np.floating] | None = None,
        pinned: bool = False,
    ) -> list[Eviction]:
        """Remember a view, and return what had to go for it, which may be the view itself.

        `depth_m [h, w]` is the z-depth of the picture at any resolution, NaN where unknown or where
        there is nothing. `payload_id` is for the caller to find what belongs to the view. An
        eviction's `into` names the view that still shows most of what is gone.
        """
        self._must_write()
        if not math.isfinite(time_s):
            raise UsageError(f"time_s must be a finite number of seconds, got {time_s!r}")
        columns, full = self._columns, len(self) >= self.config.capacity
        if full and pinned and columns.pinned[: columns.count].all():
            raise UsageError(
                f"all {len(self)} views that find room in {self.config.budget_mb:g} MB are pinned; "
                "unpin some, or give the bank a larger budget"
            )
        frustum = frustum_of(pose, width_px=width_px, height_px=height_px)
        row = row_of(
            pose,
            frustum,
            nearness_of(depth_m, side=self.config.depth_px),
            view_id=self._next_id,
            payload_id=payload_id,
            size_px=(width_px, height_px),
            time_s=time_s,
            pinned=pinned,
            config=self.config,
        )
        slot = columns.append(row)
        self._changes.added.add(self._next_id)
        self._next_id += 1
        self._changes.slots.update((slot, *count_in(columns, slot, self.config).tolist()))
        return [self._drop(spare(columns), "capacity")] if full else []

    def remove(self, view_id: int) -> Eviction:
        """Forget a view."""
        self._must_write()
        return self._drop(self._slot(view_id), "deleted")

    def pin(self, view_id: int, *, pinned: bool = True) -> None:
        """Keep a view whatever its use, or let it go like others again."""
        self._must_write()
        slot = self._slot(view_id)
        self._columns.pinned[slot] = pinned
        self._changes.slots.add(slot)

    def view(self, view_id: int) -> View:
        """Return a view by its id."""
        columns, slot = self._columns, self._slot(view_id)
        nearness = columns.nearness[slot].astype(np.float32)
        known = nearness > 0
        depth_m = np.divide(1, nearness, out=np.full_like(nearness, np.nan), where=known)
        width_px, height_px = columns.size_px[slot].tolist()
        return View(
            view_id=view_id,
            payload_id=int(columns.payload_id[slot]),
            pose=columns.pose(slot),
            width_px=width_px,
            height_px=height_px,
            time_s=float(columns.time_s[slot]),
            pinned=bool(columns.pinned[slot]),
            depth_m=depth_m if known.any() else None,
        )

    def views(self) -> list[View]:
        """Return every view, in the order they came."""
        return [self.view(view_id) for view_id in sorted(self._columns.slot_of)]

    def evictions(self) -> list[Eviction]:
        """Return the newest evictions, oldest first."""
        return list(self._log)

    def retrieve(
        self,
        targets: Target | Sequence[Target],
        *,
        k: int,
        now_s: float,
        rule: Rule = "coverage",
        truth: Truth | None = None,
    ) -> list[Chosen]:
        """Return up to `k` views taken until `now_s`, in the order of choice.

        They are chosen for a target, or for all targets of a short path together. Fewer come back
        where fewer are of use. Asking changes nothing. `truth` is for the rule `oracle`.
        """
        return list(self.explain(targets, k=k, now_s=now_s, rule=rule, truth=truth).chosen)

    def explain(
        self,
        targets: Target | Sequence[Target],
        *,
        k: int,
        now_s: float,
        rule: Rule = "coverage",
        truth: Truth | None = None,
    ) -> Explanation:
        """Return what `retrieve` returns, with what it was chosen by."""
        if rule not in get_args(Rule):
            raise one_of("rule", rule, get_args(Rule))
        if k < 0:
            raise UsageError(f"k must be at least 0, got {k}")
        path = [targets] if isinstance(targets, Target) else list(targets)
        if not path:
            raise UsageError("there is no target; name at least one pose to look from")
        held = self._columns.time_s[: len(self)] <= now_s
        if rule == "coverage":
            sights = self._sights(path, held)
            picks = sights.picks(self._columns, k=k, time_weight=self.config.time_weight)
            return self._explanation(rule, picks, held, now_s=now_s, sights=sights)
        picks = self._picks(rule, path, held, k=k, now_s=now_s, truth=truth)
        return self._explanation(rule, picks, held, now_s=now_s)

    def checkpoint(self, *, beside: Beside | None = None) -> None:
        """Make durable what has changed, and what `beside` writes, all of it or nothing.

        `lambda connection: write_surfels(connection, surfels)` keeps both banks of one moment.
        """
        self._must_write()
        if self._store is not None:
            self._store.commit(
                self._changes,
                self._columns,
                config=self.config,
                next_id=self._next_id,
                evicted=self._evicted,
                beside=beside,
            )
        self._changes = Changes(self.config.eviction_log)

    def close(self) -> None:
        """Make a checkpoint and let the next writer in."""
        if self._closed:
            return
        try:
            if self.writable:
                self.checkpoint()
        finally:
            self._closed = True
            if self._store is not None:
                self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sights(self, path: Sequence[Target], held: Mask) -> Sights:
        targets = [
            (frustum_of(one.pose, width_px=one.width_px, height_px=one.height_px), one.depth_m)
            for one in path
        ]
        return sights_of(self._columns, held, targets, config=self.config)

    def _picks(
        self,
        rule: Rule,
        path: Sequence[Target],
        held: Mask,
        *,
        k: int,
        now_s: float,
        truth: Truth | None,
    ) -> list[Pick]:
        columns, config = self._columns, self.config
        slots = np.flatnonzero(held)
        slots = slots[np.lexsort((-columns.view_id[slots], -columns.time_s[slots]))]
        frusta = [
            frustum_of(one.pose, width_px=one.width_px, height_px=one.height_px) for one in path
        ]
        match rule:
            case "worldmem":
                return worldmem(
                    columns,
                    slots,
                    frusta,
                    k=k,
                    now_s=now_s,
                    ball_m=config.ball_m,
                    seed=config.seed,
                )
            case "context_as_memory":
                return context_as_memory(
                    columns, slots, frusta[0], k=k, range_m=config.range_m, seed=config.seed
                )
            case "recency":
                return recency(slots, k=k)
            case "random":
                return random(columns, slots, k=k, seed=config.seed)
            case "fixed_offset":
                return fixed_offset(columns, slots, k=k, now_s=now_s, offset_s=config.offset_s)
            case _:
                return oracle(columns, slots, truth, k=k)

    def _explanation(
        self,
        rule: Rule,
        picks: Sequence[Pick],
        held: Mask,
        *,
        now_s: float,
        sights: Sights | None = None,
    ) -> Explanation:
        columns = self._columns
        chosen = [
            Chosen(
                view_id=int(columns.view_id[pick.slot]),
                payload_id=int(columns.payload_id[pick.slot]),
                pose=columns.pose(pick.slot),
                time_s=float(columns.time_s[pick.slot]),
                age_s=now_s - float(columns.time_s[pick.slot]),
                share=pick.share,
                gain=pick.gain,
            )
            for pick in picks
        ]
        count = int(held.sum())
        if sights is None:
            return Explanation(rule, "", count, count, np.zeros((0, 3)), math.nan, tuple(chosen))
        some = np.isin(sights.viewers, [pick.slot for pick in picks])
        covered = sights.seen[some].any(axis=0)
        return Explanation(
            rule,
            sights.basis,
            held=count,
            considered=len(sights.viewers),
            points=sights.origin + sights.points,
            covered=float(covered.mean()) if covered.size else 0.0,
            chosen=tuple(chosen),
        )

    def _drop(self, slot: int, reason: Literal["capacity", "deleted"]) -> Eviction:
        columns = self._columns
        by = cover_of(columns, slot, self.config)
        view_id = int(columns.view_id[slot])
        gone = Eviction(view_id, reason, None if by is None else int(columns.view_id[by]))
        self._changes.slots.update((slot, *count_out(columns, slot, self.config).tolist()))
        columns.drop(slot)
        self._changes.remove(view_id)
        self._changes.evictions.append(gone)
        self._log.append(gone)
        self._evicted += 1
        return gone

    def _slot(self, view_id: int) -> int:
        if view_id not in self._columns.slot_of:
            raise UsageError(
                f"view {view_id} is not held; {len(self)} are, see views(), and evictions() for "
                "those that left"
            )
        return self._columns.slot_of[view_id]

    def _must_write(self) -> None:
        if self._closed or not self.writable:
            state = "closed" if self._closed else "open for reading only"
            raise UsageError(f"pose bank {self.path} is {state}; open it for writing")


def open_pose_bank(
    path: str | Path | None = None,
    *,
    config: PoseBankConfig | None = None,
    mode: Literal["read", "write"] = "write",
) -> PoseBank:
    """Open the pose bank in a file, or without `path` one in RAM that ends with the program.

    A file has one writer, and readers that see its last checkpoint as they opened it. Its settings
    are those it was made with; other ones are refused.
    """
    if path is None:
        return PoseBank(None, config=config)
    store = PoseStore(Path(path), mode=mode)
    try:
        return PoseBank(store, config=config)
    except BaseException:
        store.close()
        raise
