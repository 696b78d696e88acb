"""Sensory memory: the newest frames, whole as far as their share of the budget reaches."""

from collections import deque
from collections.abc import Iterator

from memory_banks.entries import Row
from streammem.records import Features, Frame


class Sensory:
    """A ring of the newest `frames` entries.

    The pictures and features of the newest of them are held whole within `picture_bytes`; older
    ones lose their picture first. Which entries the ring holds depends on their number alone, so
    it is the same after a restart, when the pictures are gone.
    """

    def __init__(self, *, frames: int, picture_bytes: int) -> None:
        self.frames = frames
        self.picture_bytes = picture_bytes
        self.held_bytes = 0
        self._rows: deque[Row] = deque()
        self._whole: deque[tuple[int, Frame, Features]] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def add(self, row: Row, *, whole: tuple[Frame, Features] | None = None) -> list[Row]:
        """Take in the newest entry; return those that are no longer among the newest."""
        self._rows.append(row)
        if whole is not None:
            self._whole.append((row.entry_id, *whole))
            self.held_bytes += whole_bytes(*whole)
        older = []
        while len(self._rows) > self.frames:
            older.append(self.pop_oldest())
        while self.held_bytes > self.picture_bytes:
            self._drop_picture()
        return older

    def pop_oldest(self) -> Row:
        """Take out the oldest entry, with its picture."""
        row = self._rows.popleft()
        if self._whole and self._whole[0][0] == row.entry_id:
            self._drop_picture()
        return row

    def whole(self) -> list[tuple[Frame, Features]]:
        """Return the frames that are held whole, oldest first."""
        return [(frame, features) for _, frame, features in self._whole]

    def remove(self, entry_id: int) -> None:
        """Take out one entry, with its picture."""
        self._rows = deque(row for row in self._rows if row.entry_id != entry_id)
        self._whole = deque(item for item in self._whole if item[0] != entry_id)
        self.held_bytes = sum(whole_bytes(frame, features) for _, frame, features in self._whole)

    def _drop_picture(self) -> None:
        _, frame, features = self._whole.popleft()
        self.held_bytes -= whole_bytes(frame, features)


def whole_bytes(frame: Frame, features: Features) -> int:
    """Return the RAM that a frame takes with its features."""
    arrays = (frame.rgb, frame.depth_m, features.key, features.visual, features.tokens)
    return sum(array.nbytes for array in arrays if array is not None)
