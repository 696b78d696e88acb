"""A process that fills a memory file, made to be killed: `pusher.py FILE COUNT EVERY`.

Prints a line when it is about to begin, and waits at the end until its input is closed.
"""

import sys
from pathlib import Path

from memory_banks.tiered import open_memory
from streammem.records import SourceInfo
from tests.memory_banks.streams import ENCODER, TIGHT, stream


def push_rest(path: Path, count: int, *, every: int, wait: bool = False) -> None:
    """Push what `path` lacks of a stream of `count` frames, with a checkpoint `every` few."""
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        state = memory.begin_source(SourceInfo("a", "a.mp4"), fingerprint="f", sampling_fps=1.0)
        print("ready", flush=True)
        for frame, features in stream(count, seed=9):
            if state.last_s is not None and frame.time_s <= state.last_s:
                continue
            memory.push(frame, features)
            if frame.index % every == every - 1:
                memory.checkpoint()
        memory.finish_source("a")
        memory.checkpoint()
        if wait:
            sys.stdin.read()


if __name__ == "__main__":
    push_rest(Path(sys.argv[1]), int(sys.argv[2]), every=int(sys.argv[3]), wait=True)
