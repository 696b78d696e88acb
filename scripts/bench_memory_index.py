"""How soon, and how completely, the ten nearest of a million entries are found.

    .venv/bin/python scripts/bench_memory_index.py [--quick] [--json] [--hnsw]

1,000,000 vectors of 384 numbers lie in the index in a random order, as they do after long use.
They are made in three ways, all from one seed:

    scenes     scenes of 40 frames: centres of 64 directions of falling strength, an offset that
               all share, and noise; frames drift around them. A frame has a cosine of about 0.9
               to its neighbours and 0.4 to other scenes, as in a stream of a frame a second
               that was not merged yet. Queries are noisy frames.
    elsewhere  the same vectors, asked by queries that share another offset and point weakly to a
               frame, as words do among pictures: their best cosines are near 0.3.
    isotropic  random directions without any structure, the worst case for every index but the
               exact one.

Each query is asked one at a time on one thread, of ours, of exact search (FAISS IndexFlatIP) and of
inverted lists (FAISS IndexIVFFlat, 1,000 lists, reading as few as find 0.95 of the scenes), in
turns. With `--hnsw` FAISS IndexHNSWFlat takes part too; building it takes many minutes. Recall is
the share of the ten nearest of exact search. Filters leave a source (one entry in 20) or a span of
1 % of the time. `first_search_s` is the training and coding of all entries, which a search pays
when the entries have doubled. Figures named `cpu` are of the processor's time, which others that
use the machine change less.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from bench_output import Goals, say, show

from memory_banks.vectors.index import VectorIndex
from memory_banks.vectors.nearest import EXACT_NUMBERS
from streammem.records import Vector

DIM, K, SCENE = 384, 10, 40
SOURCES = 20
SEED = 3
RECALL, BUDGET_MS = 0.95, 20.0

Search = Callable[[Vector], list[int]]


def unit(vectors: Vector) -> Vector:
    """Bring rows `[N, D]` to unit length in place."""
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def noise(rng: np.random.Generator, count: int) -> Vector:
    """Return random vectors `[count, DIM]` of length about 1."""
    return rng.standard_normal((count, DIM), dtype=np.float32) / np.float32(DIM**0.5)


def scenes(count: int, *, rng: np.random.Generator) -> Vector:
    """Return `count` frames in order of time."""
    rank, many = 64, count // SCENE
    strengths = np.arange(1, rank + 1, dtype=np.float32)[:, None] ** -0.5
    directions = rng.standard_normal((rank, DIM), dtype=np.float32) * strengths
    directions /= np.linalg.norm(directions)
    centres = rng.standard_normal((many, rank), dtype=np.float32) @ directions
    centres += 0.5 * noise(rng, many) + 0.8 * unit(noise(rng, 1))
    unit(centres)
    frames = np.empty((many, SCENE, DIM), dtype=np.float32)
    drift = noise(rng, many)
    for at in range(SCENE):
        frames[:, at] = centres + 0.4 * drift
        drift = 0.9 * drift + np.float32((1 - 0.9**2) ** 0.5) * noise(rng, many)
    return unit(frames.reshape(-1, DIM))


def frames_like(vectors: Vector, count: int, *, rng: np.random.Generator) -> Vector:
    """Return noisy other frames `[count, DIM]` of the scenes."""
    chosen = rng.choice(len(vectors), size=count, replace=False)
    return unit(vectors[chosen] + 0.4 * noise(rng, count))


def words_like(vectors: Vector, count: int, *, rng: np.random.Generator) -> Vector:
    """Return queries `[count, DIM]` from elsewhere that point weakly to a frame."""
    chosen = rng.choice(len(vectors), size=count, replace=False)
    weak = unit(vectors[chosen] - vectors[::100].mean(axis=0))
    return unit(unit(noise(rng, 1)) + 0.35 * weak + 0.3 * noise(rng, count))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS use this thread alone."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def filled(vectors: Vector, *, exact_numbers: int, rng: np.random.Generator) -> VectorIndex:
    """Return our index, the entry of a second being called by it."""
    count = len(vectors)
    index = VectorIndex(dim=DIM, visual_dim=1, exact_numbers=exact_numbers)
    for ids in np.array_split(rng.permutation(count), 20):
        index.add_many(
            ids,
            keys=vectors[ids],
            visuals=np.ones((len(ids), 1), dtype=np.float32),
            sources=ids % SOURCES,
            start_s=ids.astype(float),
            end_s=ids + 1.0,
        )
    return index


def of_faiss(index: Any) -> Search:
    return lambda query: index.search(query[None], K)[1][0].tolist()


def of_ours(index: VectorIndex, **only: Any) -> Search:
    return lambda query: [found for found, _ in index.search(query, k=K, **only)]


def in_turns(searches: Mapping[str, Search], queries: Vector) -> dict[str, np.ndarray]:
    """Return the milliseconds of each search for each query, and those of the processor."""
    times: dict[str, list[float]] = {f"{name}{of}": [] for name in searches for of in ("", "cpu_")}
    with one_thread():
        for query in queries:
            for name, search in searches.items():
                began, worked = time.perf_counter(), time.thread_time()
                search(query)
                times[f"{name}cpu_"].append(1e3 * (time.thread_time() - worked))
                times[name].append(1e3 * (time.perf_counter() - began))
    return {name: np.array(taken) for name, taken in times.items()}


def recall(search: Search, queries: Vector, nearest: np.ndarray) -> float:
    """Return the share of `nearest [Q, K]` that is found."""
    hits = [
        len({*search(query)} & {*best.tolist()})
        for query, best in zip(queries, nearest, strict=True)
    ]
    return float(np.mean(hits)) / K


def widened(
    index: Any, widen: Callable[[int], None], queries: Vector, nearest: np.ndarray
) -> tuple[Search, int]:
    """Return a peer's search that reads as little as the goal for recall allows, and how much."""
    reads = 1
    widen(reads)
    while reads < 1024 and recall(of_faiss(index), queries, nearest) < RECALL:
        reads *= 2
        widen(reads)
    return of_faiss(index), reads


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentiles(name: str, taken: np.ndarray) -> dict[str, float]:
    return {f"{name}_p{p}_ms": float(np.percentile(taken, p)) for p in (50, 95)}


def measure(*, quick: bool, hnsw: bool = False) -> tuple[dict[str, float], Goals]:
    """Return figures and goals."""
    count, asked = (50_000, 30) if quick else (1_000_000, 200)
    exact_numbers = EXACT_NUMBERS // 20 if quick else EXACT_NUMBERS
    rng = np.random.default_rng(SEED)
    figures = {"index_entries": float(count)}
    figures |= structured(count, asked, exact_numbers=exact_numbers, hnsw=hnsw, rng=rng)
    figures |= isotropic(count, asked, exact_numbers=exact_numbers, rng=rng)
    figures["index_p95_budget_over_p95"] = BUDGET_MS / figures["index_p95_ms"]
    figures["index_speedup_over_exact"] = figures["index_exact_p95_ms"] / figures["index_p95_ms"]
    goals: Goals = {
        "index_recall_at_10": (">=", RECALL),
        "index_p95_budget_over_p95": (">=", 1.0),
    }
    return figures, goals


def structured(
    count: int, asked: int, *, exact_numbers: int, hnsw: bool, rng: np.random.Generator
) -> dict[str, float]:
    """Return the figures of scenes, asked by their frames, from elsewhere, and under filters."""
    vectors = scenes(count, rng=rng)
    queries, words = (like(vectors, asked, rng=rng) for like in (frames_like, words_like))
    ours = filled(vectors, exact_numbers=exact_numbers, rng=rng)
    figures = {"index_first_search_s": timed(lambda: ours.search(queries[0], k=K))}
    figures["index_bytes_an_entry_beside_its_vectors"] = ours.overhead_bytes / count
    say(f"{count:,} entries; {ours.how()}")

    exact = faiss.IndexFlatIP(DIM)
    exact.add(vectors)
    nearest = {"": exact.search(queries, K)[1], "elsewhere_": exact.search(words, K)[1]}
    lists = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(DIM), DIM, round(count**0.5), faiss.METRIC_INNER_PRODUCT
    )
    figures["index_ivf_build_s"] = timed(
        lambda: (lists.train(vectors[:: max(1, count // 64_000)]), lists.add(vectors))
    )
    searches = {"": of_ours(ours), "exact_": of_faiss(exact)}
    searches["ivf_"], figures["index_ivf_lists_read"] = widened(
        lists, lambda reads: setattr(lists, "nprobe", reads), queries, nearest[""]
    )
    if hnsw:
        graph = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
        figures["index_hnsw_build_s"] = timed(lambda: graph.add(vectors))
        searches["hnsw_"], figures["index_hnsw_reads"] = widened(
            graph, lambda reads: setattr(graph.hnsw, "efSearch", reads), queries, nearest[""]
        )

    for kind, asking in (("", queries), ("elsewhere_", words)):
        for name, taken in in_turns(searches, asking).items():
            figures |= percentiles(f"index_{kind}{name}".rstrip("_"), taken)
        for name, search in searches.items():
            if name != "exact_":
                found = recall(search, asking, nearest[kind])
                figures[f"index_{kind}{name}recall_at_10"] = found
    only_of = {
        "source_": {"source": 7},
        "span_": {"between": (0.4 * count, 0.41 * count)},
        "half_": {"at_s": 0.5 * count},
    }
    filtered = {name: of_ours(ours, **only) for name, only in only_of.items()}
    for name, taken in in_turns(filtered, queries).items():
        figures |= percentiles(f"index_{name}".rstrip("_"), taken)
    return figures


def isotropic(
    count: int, asked: int, *, exact_numbers: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return the figures of vectors without structure."""
    vectors, queries = unit(noise(rng, count)), unit(noise(rng, asked))
    exact = faiss.IndexFlatIP(DIM)
    exact.add(vectors)
    ours = filled(vectors, exact_numbers=exact_numbers, rng=rng)
    nearest = exact.search(queries, K)[1]
    found = {"index_isotropic_recall_at_10": recall(of_ours(ours), queries, nearest)}
    for name, taken in in_turns({"isotropic_": of_ours(ours)}, queries).items():
        found |= percentiles(f"index_{name}".rstrip("_"), taken)
    return found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="50,000 entries")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--hnsw", action="store_true", help="measure a graph index too")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parsed()
    show(*measure(quick=arguments.quick, hnsw=arguments.hnsw), as_json=arguments.json)
