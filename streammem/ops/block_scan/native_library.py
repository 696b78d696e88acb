"""The native library as ctypes sees it: its one argument, and the trial that each load runs."""

import ctypes
import functools
import math
import os
from typing import Final

from streammem.model_files import home
from streammem.ops.block_scan.build import CannotBuild, NativeStatus, load

# fmt: off
_SIZES: Final = (
    "batch", "frames", "rows", "columns", "tile_height", "tile_width",
    "heads", "headdim", "groups", "state", "chunk", "threads",
    "x_stride", "dt_stride", "B_stride", "C_stride", "dy_stride",
)
_POINTERS: Final = (
    "x", "dt", "A", "B", "C", "D", "initial", "reset", "y", "final", "saved",
    "dy", "dfinal", "dx", "ddt", "dA", "dB", "dC", "dD", "dinitial",
)
# fmt: on

PADDING: Final = 16
"""Rows of saved states are padded to whole multiples of so many floats."""


class Problem(ctypes.Structure):
    """`Problem` of native.cpp, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def status() -> NativeStatus:
    """Return whether the native scan is ready; the first call builds or loads the library."""
    return load_once()[1]


def library() -> ctypes.CDLL | None:
    """Return the library, None where `status` is not ready."""
    return load_once()[0]


@functools.cache
def load_once() -> tuple[ctypes.CDLL | None, NativeStatus]:
    if os.environ.get("STREAMMEM_NATIVE") == "0":
        return None, NativeStatus(False, "turned off by STREAMMEM_NATIVE=0")
    try:
        library, compiler = load(home() / "native", accept)
    except CannotBuild as error:
        return None, NativeStatus(False, str(error))
    threads = "" if library.block_scan_has_threads() else ", one thread: it has no OpenMP"
    return library, NativeStatus(True, f"built with {compiler}{threads}")


def accept(library: ctypes.CDLL) -> None:
    """Run a small scan against its recurrence. Raises CannotBuild where they differ.

    y is linear in each of x, B and C, so the product of each with its gradient is that of y with
    the gradient of y.
    """
    tokens, state, headdim, decay = 20, 2, 3, 0.9
    size = {"x": headdim, "dt": 1, "B": state, "C": state, "dy": headdim}
    given = {
        name: [math.sin(7 * i + len(name) + ord(name[0])) for i in range(tokens * width)]
        for name, width in size.items()
    } | {"dt": [1.0] * tokens, "A": [math.log(decay)]}
    outputs = {
        "y": tokens * headdim,
        "final": state * headdim,
        "saved": 2 * state * PADDING,
        "dx": tokens * headdim,
        "ddt": tokens,
        "dA": 1,
        "dB": tokens * state,
        "dC": tokens * state,
    }
    arrays = {name: (ctypes.c_float * len(values))(*values) for name, values in given.items()}
    arrays |= {name: (ctypes.c_float * count)() for name, count in outputs.items()}
    problem = Problem(1, tokens, 1, 1, 1, 1, 1, headdim, 1, state, 16, 1, *size.values())
    for name, array in arrays.items():
        setattr(problem, name, ctypes.addressof(array))

    memory = [[0.0] * headdim for _ in range(state)]
    truth = []
    for t in range(tokens):
        x, B, C = (given[name][t * size[name] : (t + 1) * size[name]] for name in ("x", "B", "C"))
        memory = [
            [decay * memory[n][p] + B[n] * x[p] for p in range(headdim)] for n in range(state)
        ]
        truth += [sum(C[n] * memory[n][p] for n in range(state)) for p in range(headdim)]

    ran = library.block_scan_forward(ctypes.byref(problem)) == 0
    ran = ran and library.block_scan_backward(ctypes.byref(problem)) == 0
    pairs = list(zip(arrays["y"], truth, strict=True))
    product = sum(map(float.__mul__, arrays["y"], arrays["dy"]))
    for name in ("x", "B", "C"):
        pairs.append((sum(map(float.__mul__, arrays[name], arrays[f"d{name}"])), product))
    if not ran or not all(abs(got - wanted) < 1e-4 for got, wanted in pairs):
        raise CannotBuild("the library computes a wrong result on this machine")
