"""Which way of making room a name stands for."""

from collections.abc import Callable, Mapping

from memory_banks.consolidation.baselines import Fifo, First, LastFrames, Uniform
from memory_banks.consolidation.continuous import Continuous
from memory_banks.consolidation.merge import Merge
from memory_banks.consolidation.prototype import Prototype
from memory_banks.consolidation.step import Consolidation, State, Surroundings
from memory_banks.consolidation.surprise import Surprise
from memory_banks.settings import Strategy

STRATEGIES: Mapping[Strategy, Callable[[Surroundings, State], Consolidation]] = {
    "surprise": Surprise,
    "merge": Merge,
    "prototype": Prototype,
    "continuous": Continuous,
    "uniform": Uniform,
    "fifo": Fifo,
    "last_frames": LastFrames,
    "none": First,
}


def choose_consolidation(around: Surroundings, state: State) -> Consolidation:
    """Return the way of making room that the settings name, taken up where `state` left off."""
    return STRATEGIES[around.config.consolidation](around, state)
