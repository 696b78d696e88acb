"""What comes out of a surfel bank that was asked for views."""

from dataclasses import dataclass
from typing import Literal, get_args

from memory_banks.surfel_bank.drawing import Drawing
from streammem.records import Pose

Rule = Literal["coverage", "suppression"]
"""How views are chosen by votes; each is described at `Ballot`."""

RULES: tuple[str, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True, eq=False)
class FoundView:
    """A view that was chosen for a target, taken `age_s` before the newest view.

    Of what the bank knows at the target, the view saw `share` and `gain` of it was in no view
    chosen before, since the last time that all was covered. `distance` is how far its pose is from
    the (first) target, in radians and tenths of a metre.
    """

    view_id: int
    pose: Pose
    time_s: float
    age_s: float
    share: float
    gain: float
    distance: float

    def __str__(self) -> str:
        return (
            f"view {self.view_id}, {self.age_s:.1f} s old, {self.distance:.2f} away: saw "
            f"{self.share:.0%} of what is known there, {self.gain:.0%} of it new"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """How views were chosen: `known` is the share of the target's pixels that the bank can draw.

    `views` is how many got votes, `drawings` what was voted by.
    """

    rule: Rule
    known: float
    views: int
    drawings: tuple[Drawing, ...]
    found: tuple[FoundView, ...]
