"""StreamMem gives a video stream a memory: watch, ask about anything seen, see the proof.

import streammem

with streammem.open("holiday.smem") as memory:
    memory.ingest("holiday.mp4")
    answer = memory.ask("when does the cat appear?")
    print(answer.text, answer.evidence[0].start_s)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.session import Session, open

__all__ = ["Session", "__version__", "open"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the façade on first use: the one place where this package names a higher one."""
    if name in ("open", "Session"):
        from pipelines import session

        return getattr(session, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
