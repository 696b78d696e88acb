"""`streammem demo`: ten minutes of sample footage, five questions, and the truth beside them."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from apps.output import megabytes, moment_lines, note, span
from apps.report import write_report
from apps.settings import Settings
from apps.watch import watch
from memory_banks.tiered import open_memory
from pipelines.answer import ask
from pipelines.compose import Composition, compose_stream
from streammem import device
from streammem.answerers.choose import choose_answerer
from streammem.encoders.choose import choose_encoder
from streammem.errors import StreamMemError, UsageError
from streammem.names import format_time


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the demo and its true answer."""

    question: str
    truth: str


def run(arguments: argparse.Namespace) -> int:
    """Compose the stream, watch it, ask, and write a page with the answers."""
    out = Path(arguments.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamMemError(f"demo folder {out} cannot be made: {error.strerror}") from error
    print(f"device: {device.choose()}")
    video, path = out / "stream.mp4", out / "stream.smem"
    composition = _composed(video, seconds=arguments.seconds, seed=arguments.seed)
    path.unlink(missing_ok=True)
    encoder, answerer = choose_encoder("embedded"), choose_answerer("embedded")
    settings = Settings()
    with open_memory(path, encoder=encoder, config=settings.memory, mode="write") as memory:
        watched = watch(video, encoder, memory, settings, quiet=False)
        if watched.stopped_at_s is not None:
            note("stopped; make demo starts over")
            return 130
        print(
            f"watched {composition.duration_s:.0f} s in {watched.seconds:.1f} s "
            f"({watched.realtime:.0f}x realtime), {watched.frames} frames, "
            f"memory {megabytes(memory.stats().bytes)}"
        )
        asked = questions(composition)
        answers = []
        for item in asked:
            started = time.monotonic()
            answer = ask(memory, encoder, answerer, item.question)
            answers.append((item.question, answer))
            print(f"\n? {item.question}  ({(time.monotonic() - started) * 1000:.0f} ms)")
            print(f"  {answer.text}")
            for line in moment_lines(answer.evidence[:3], name_source=False):
                print(f"  {line}")
            print(f"  truth: {item.truth}")
        page = out / "report.html"
        picture = write_report(
            page,
            title="StreamMem demo",
            memory=memory,
            answers=answers,
            encoder=encoder,
            truths=[item.truth for item in asked],
        )
    print(f"\nthe page: {page}\nthe timeline: {picture}")
    print('on a video of yours: .venv/bin/streammem ask VIDEO "when does the cat appear?"')
    return 0


def questions(composition: Composition) -> list[Asked]:
    """Return five questions about a composed stream, with their answers by construction."""
    cats, coffees, rockets, motorcycles = (
        _times(composition, name) for name in ("cat", "coffee", "rocket", "motorcycle")
    )
    if not (cats and coffees and rockets and motorcycles):
        raise UsageError(
            f"{composition.duration_s:.0f} s are too short to show all that the demo asks about; "
            "give --seconds 600"
        )
    first = "the motorcycle" if motorcycles[0] < rockets[0] else "the rocket"
    middle_s = sum(coffees[0]) / 2
    return [
        Asked("When does the cat appear?", _spans(cats)),
        Asked(
            "How many times is a motorcycle shown?", f"{len(motorcycles)}: {_spans(motorcycles)}"
        ),
        Asked(
            "Which comes first, the rocket or the motorcycle?",
            f"{first} (rocket {_spans(rockets[:1])}, motorcycle {_spans(motorcycles[:1])})",
        ),
        Asked(f"What is shown at {format_time(middle_s)}?", "a cup of coffee"),
        Asked("Is there a piano?", "no"),
    ]


def _composed(video: Path, *, seconds: float, seed: int) -> Composition:
    """Make the stream under a progress bar."""
    with tqdm(total=round(seconds), desc="composing", unit="s", mininterval=0.5) as bar:
        return compose_stream(
            video,
            seconds=seconds,
            seed=seed,
            progress=lambda done_s: bar.update(round(done_s) - bar.n) and None,
        )


def _times(composition: Composition, name: str) -> list[tuple[float, float]]:
    """Return when the shots called `name` run."""
    return sorted((shot.start_s, shot.end_s) for shot in composition.shots if shot.name == name)


def _spans(times: list[tuple[float, float]]) -> str:
    """Return spans in words."""
    return ", ".join(span(start_s, end_s) for start_s, end_s in times) or "never"
