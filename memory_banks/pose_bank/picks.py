"""A choice, as every rule gives it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pick:
    """The slot of a chosen view; `share` and `gain` are those of `Chosen`."""

    slot: int
    share: float = math.nan
    gain: float = math.nan
