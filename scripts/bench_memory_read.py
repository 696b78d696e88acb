"""XMem's read over tokens, gathered from the most similar, beside its published dense form.

    .venv/bin/python scripts/bench_memory_read.py [--quick] [--json]

A frame of 1,620 queries reads 10,000 long-term and 16,200 working tokens (C = 64, V = 512, k = 30).
The dense form is built as the published code (XMem, arXiv:2207.07115) builds it, in torch, float32:
both stores are joined, two matrix products give the similarity of every pair, its 30 largest for
each query are exponentiated and scattered into the zeroed matrix, and the values are multiplied by
that. Both forms have the same threads and take turns.

    speedup       median over the rounds of dense over ours
    memory ratio  dense over ours of the peak of resident memory above what was there before the
                  read, each in a process of its own, after a small read that starts all threads.
                  What is freed goes back to the system at once, so that none of it is used anew
                  unseen (Linux with glibc)
    error         largest difference of the two outputs; beside it, for some of the queries, that
                  of each from the formula in float64, by differences

Keys are a smooth random field that changes slowly from frame to frame, or random throughout. Of
speedup and error, the figures without a kind are those of the harder one.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cv2
import faiss
import numpy as np
import torch
from bench_output import Goals, say, show

from memory_banks.tokens.affinity import read

KINDS = "smooth", "random"
LONG_TERM, FRAMES, HEIGHT, WIDTH = 10_000, 10, 30, 54
C, V, K = 64, 512, 30
TOLERANCE = 1e-4
CHECKED = 40

Arrays = dict[str, np.ndarray]


def inputs(kind: str, *, seed: int = 0) -> Arrays:
    """Return `key [N, C]`, `shrinkage [N]`, `values [N, V]`, `query [Q, C]`, `selection [Q, C]`."""
    rng = np.random.default_rng(seed)
    pixels = HEIGHT * WIDTH
    tokens = LONG_TERM + FRAMES * pixels
    if kind == "random":
        keys = rng.normal(size=(tokens + pixels, C)).astype(np.float32)
    else:
        older = -(-LONG_TERM // pixels)
        frames = smooth_frames(older + FRAMES + 1, rng=rng)
        kept = np.sort(rng.choice(older * pixels, LONG_TERM, replace=False))
        keys = np.concatenate([frames[: older * pixels][kept], frames[older * pixels :]])
    return {
        "key": keys[:tokens],
        "shrinkage": (1 + rng.normal(size=tokens) ** 2).astype(np.float32),
        "values": rng.standard_normal((tokens, V), dtype=np.float32),
        "query": keys[tokens:],
        "selection": rng.random((pixels, C), dtype=np.float32),
    }


def smooth_frames(count: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return `[count * HEIGHT * WIDTH, C]` of unit variance, in which neighbours are alike."""
    frames = np.empty((count, HEIGHT, WIDTH, C), dtype=np.float32)
    for index in range(count):
        noise = rng.standard_normal((HEIGHT, WIDTH, C), dtype=np.float32)
        field = cv2.GaussianBlur(noise, (0, 0), 3)
        field /= field.std()
        past = frames[index - 1] if index else field
        frames[index] = field if index == 0 else 0.95 * past + np.sqrt(1 - 0.95**2) * field
    return frames.reshape(-1, C)


class Dense:
    """The published structure: channels first, two stores, and a matrix of all pairs."""

    def __init__(self, given: Arrays) -> None:
        columns = {
            name: torch.from_numpy(np.ascontiguousarray(np.atleast_2d(array.T)))[None]
            for name, array in given.items()
        }
        self._query, self._selection = columns.pop("query"), columns.pop("selection")
        stores = [(part[..., :LONG_TERM], part[..., LONG_TERM:]) for part in columns.values()]
        self._stores = [[half.contiguous() for half in halves] for halves in stores]

    @torch.inference_mode()
    def read(self) -> np.ndarray:
        """Return `[Q, V]`."""
        key, shrinkage, values = (torch.cat(halves, dim=-1) for halves in self._stores)
        query, selection = self._query, self._selection
        key = key.transpose(1, 2)  # [1, N, C]
        squares = key.pow(2) @ selection
        products = 2 * (key @ (query * selection))
        constant = (selection * query.pow(2)).sum(dim=1, keepdim=True)
        similarity = -squares + products - constant
        similarity = similarity * shrinkage.transpose(1, 2) / np.sqrt(C)  # [1, N, Q]
        long_term = min(LONG_TERM, similarity.shape[1])
        similarity = torch.cat([similarity[:, :long_term], similarity[:, long_term:]], dim=1)
        largest, rows = torch.topk(similarity, k=K, dim=1)
        weights = largest.exp_()
        weights /= weights.sum(dim=1, keepdim=True)
        similarity.zero_().scatter_(1, rows, weights)
        similarity.sum(dim=2)
        return (values @ similarity)[0].T.numpy()


def ours(given: Arrays) -> np.ndarray:
    """Return `[Q, V]`."""
    return read(**given, k=K)[0]


def by_differences(given: Arrays, row: int) -> np.ndarray:
    """Return what one query reads, `[V]`, in float64."""
    exact = {name: array.astype(np.float64) for name, array in given.items() if name != "values"}
    difference = exact["key"] - exact["query"][row]
    score = -exact["shrinkage"] / np.sqrt(C) * (difference**2 @ exact["selection"][row])
    best = np.argsort(-score, kind="stable")[:K]
    weights = np.exp(score[best] - score[best[0]])
    return weights / weights.sum() @ given["values"][best]


def compare(kind: str, *, rounds: int) -> dict[str, float]:
    """Return times and errors of both forms over the same inputs."""
    given = inputs(kind)
    dense = Dense(given)
    walls = []
    for _ in range(rounds):
        started = time.perf_counter()
        expected = dense.read()
        halfway = time.perf_counter()
        found = ours(given)
        walls.append((halfway - started, time.perf_counter() - halfway))
    checked = np.random.default_rng(1).choice(len(found), CHECKED, replace=False)
    exact = np.stack([by_differences(given, row) for row in checked])
    figures = {
        "ms": 1e3 * statistics.median(wall for _, wall in walls),
        "dense_ms": 1e3 * statistics.median(wall for wall, _ in walls),
        "speedup": statistics.median(theirs / wall for theirs, wall in walls),
        "error": float(np.abs(found - expected).max()),
        "error_float64": float(np.abs(found[checked] - exact).max()),
        "dense_error_float64": float(np.abs(expected[checked] - exact).max()),
    }
    return {f"read_{name}_{kind}": value for name, value in figures.items()}


def peak_extra_bytes(form: str) -> int:
    """Return by how much one read raises the peak of this process's resident memory."""
    warm = {name: array[:500] for name, array in inputs("smooth", seed=1).items()}
    read_warm = Dense(warm).read if form == "dense" else lambda: ours(warm)
    read_warm()
    given = inputs("smooth")
    run = Dense(given).read if form == "dense" else lambda: ours(given)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident_bytes("VmRSS")
    run()
    return resident_bytes("VmHWM") - before


def resident_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def peak_in_own_process(form: str) -> int:
    command = [sys.executable, __file__, "--peak", form]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout)


def measure(*, quick: bool) -> tuple[dict[str, float], Goals]:
    """Return figures and goals."""
    torch.set_num_threads(faiss.omp_get_max_threads())
    figures: dict[str, float] = {}
    for kind in KINDS:
        figures |= compare(kind, rounds=1 if quick else 9)
        say(f"{kind}: {figures[f'read_speedup_{kind}']:.1f} times as fast")
    peaks = {form: peak_in_own_process(form) for form in ("ours", "dense")}
    figures |= {f"read_{form}_peak_mb": peak / 1e6 for form, peak in peaks.items()}
    figures["read_memory_ratio"] = peaks["dense"] / peaks["ours"]
    figures["read_speedup"] = min(figures[f"read_speedup_{kind}"] for kind in KINDS)
    figures["read_error"] = max(figures[f"read_error_{kind}"] for kind in KINDS)
    figures["read_tolerance_over_error"] = TOLERANCE / figures["read_error"]
    return figures, {
        "read_speedup": (">=", 3.0),
        "read_memory_ratio": (">=", 5.0),
        "read_tolerance_over_error": (">=", 1.0),
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round instead of 9")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--peak", choices=("ours", "dense"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    if arguments.peak:
        print(peak_extra_bytes(arguments.peak))
        return
    show(*measure(quick=arguments.quick), as_json=arguments.json)


if __name__ == "__main__":
    main()
