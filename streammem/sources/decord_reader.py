"""Any frame of a file through decord 0.6, with its C++ errors turned into sentences."""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streammem.errors import SourceError
from streammem.records import Frame
from streammem.sources.picture import check_pixels

_FORK = "decord2"
_FORK_ADVICE = (
    "installed, has decord's import name and returns wrong frames of videos with few key frames;"
    " remove it with: pip uninstall decord2 decord; pip install 'decord>=0.6.0,<0.7'"
)


def decord_problem() -> str | None:
    """Return why decord is not used, None where it is sound."""
    fork, own = _version(_FORK), _version("decord")
    if fork is not None:
        return f"{_FORK} {fork} is {_FORK_ADVICE}"
    if own is None:
        return "decord is not installed"
    if not own.startswith("0.6."):
        return f"decord {own} is not the 0.6 that is known to give the right frames"
    try:
        import decord  # noqa: F401  # its library may not load on this machine
    except (ImportError, OSError, RuntimeError) as error:
        return f"decord {own} does not load: {error}"
    return None


def decord_version() -> str:
    """Return decord's name and version."""
    return f"decord {_version('decord')}"


class DecordReader:
    """Random access by decord. Its times are float32: exact to 0.1 ms within an hour."""

    def __init__(self, path: Path, *, source_id: str) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._path = path
        self._source_id = source_id
        self._error: type[Exception] = decord.DECORDError
        try:
            self._reader: Any = decord.VideoReader(str(path.absolute()))
            spans = np.asarray(self._reader.get_frame_timestamp(range(len(self._reader))))
        except (self._error, RuntimeError, IndexError) as error:
            raise SourceError(f"decord cannot open {path}") from error
        self._start_s = spans[:, 0].astype(np.float64)  # [frames]
        if not len(spans) or self._start_s[0] < -1e-3 or (np.diff(self._start_s) < 0).any():
            raise SourceError(f"decord miscounts the frames of {path}")

    def frame_at(self, time_s: float) -> Frame:
        """Return the frame that a player shows at `time_s`."""
        slack_s = 1e-4 + time_s * 2.0**-22
        index = int(np.searchsorted(self._start_s, time_s + slack_s, side="right")) - 1
        return self._frame(max(0, index))

    def frames(self, indices: Sequence[int]) -> list[Frame]:
        """Return the frames with these numbers, in the order asked."""
        return [self._frame(index) for index in indices]

    @property
    def frame_count(self) -> int:
        """How many frames the file shows."""
        return len(self._start_s)

    def close(self) -> None:
        """Free the decoder."""
        self._reader = None

    def _frame(self, index: int) -> Frame:
        try:
            rgb = self._reader[index].asnumpy()
        except (self._error, RuntimeError, IndexError) as error:
            raise SourceError(f"decord cannot decode frame {index} of {self._path}") from error
        check_pixels(str(self._path), width=rgb.shape[1], height=rgb.shape[0])
        return Frame(
            source_id=self._source_id, index=index, time_s=float(self._start_s[index]), rgb=rgb
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
