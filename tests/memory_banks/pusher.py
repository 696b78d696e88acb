"""A process that fills a memory file, made to be killed: `pusher.py FILE COUNT EVERY`.

Prints a line when it is about to begin, and waits at the end until its input is closed.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from memory_banks.tiered import Memory, open_memory
from streammem.records import Features, Frame, Gap, SourceInfo
from tests.memory_banks.streams import ENCODER, TIGHT, stream


def push_rest(path: Path, count: int, *, every: int, wait: bool = False) -> None:
    """Push what `path` lacks of a stream of `count` frames, with a checkpoint `every` few."""
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        state = memory.begin_source(SourceInfo("a", "a.mp4"), fingerprint="f", sampling_fps=1.0)
        print("ready", flush=True)
        for frame, features in stream(count, seed=9):
            if state.last_s is not None and frame.time_s <= state.last_s:
                continue
            tokens = np.outer(features.key, features.visual)
            memory.push(frame, replace(features, tokens=tokens))
            use(memory, frame, features)
            if frame.index % every == every - 1:
                memory.checkpoint()
        memory.finish_source("a")
        memory.checkpoint()
        if wait:
            sys.stdin.read()


def use(memory: Memory, frame: Frame, features: Features) -> None:
    """Do with a memory what else can be done, by the number of the frame."""
    if frame.index % 3 == 0:
        memory.recall(features.key, k=3)
    if frame.index % 25 == 0:
        memory.unpin([entry.entry_id for entry in memory.entries() if entry.pinned])
        memory.pin([memory.recall(features.visual, k=4, by="visual")[-1][0].entry_id])
    if frame.index % 60 == 0:
        memory.add_gap(Gap("a", frame.time_s + 0.2, frame.time_s + 0.8, "lost"))
    if frame.index % 4 == 0:
        memory.set_states({"hidden": np.cumsum(features.key), "step": np.array(frame.index)})


if __name__ == "__main__":
    push_rest(Path(sys.argv[1]), int(sys.argv[2]), every=int(sys.argv[3]), wait=True)
