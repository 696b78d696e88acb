"""The vectors of the class texts: seconds to compute once, then kept in the home's cache."""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from streammem.model_files import home
from streammem.records import Vector


def class_texts(
    texts: Sequence[str], *, revision: str, encode: Callable[[Sequence[str]], Vector]
) -> Vector:
    """Return `encode(texts) [len(texts), D]`, from the cache where it holds just that.

    `revision` names the model behind `encode`. Where the cache cannot be written the vectors are
    computed each time.
    """
    digest = hashlib.sha256("\n".join([revision, *texts]).encode()).hexdigest()[:16]
    path = home() / "cache" / f"class-texts-{digest}.npy"
    with contextlib.suppress(OSError, ValueError):
        kept: Vector = np.load(path, allow_pickle=False)
        if kept.dtype == np.float32 and len(kept) == len(texts):
            return kept
    vectors = encode(texts)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as workspace:
            written = Path(workspace) / path.name
            np.save(written, vectors)
            written.replace(path)
    return vectors
