"""Answers as one HTML page that needs nothing else: pictures inside, no script, no network."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from apps.output import run_record, span
from apps.timeline import draw_timeline
from memory_banks.tiered import Memory
from streammem.errors import StreamMemError
from streammem.protocols import Encoder
from streammem.records import Answer, Evidence

_PAGE = Path(__file__).with_name("report.html")


def write_report(
    path: Path,
    *,
    title: str,
    memory: Memory,
    answers: Sequence[tuple[str, Answer]],
    encoder: Encoder,
    truths: Sequence[str] = (),
) -> Path:
    """Write the page at `path` and its timeline picture beside it; return the picture's path.

    `truths` are sentences shown under the answers, one each, where the truth is known.
    """
    picture = path.with_suffix(".png")
    rows = [(question, () if answer.abstained else answer.evidence) for question, answer in answers]
    try:
        draw_timeline(picture, memory.entries(), rows, title=title, thumbnail_of=memory.thumbnail)
        page = Template(_PAGE.read_text(encoding="utf-8")).substitute(
            title=escape(title),
            timeline=_data_uri(picture.read_bytes(), "png"),
            sections="\n".join(
                _section(question, answer, truths[i] if i < len(truths) else "")
                for i, (question, answer) in enumerate(answers)
            ),
            footer=escape(_footer(memory, answers, encoder)),
        )
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StreamMemError(f"report {path} cannot be written: {error.strerror}") from error
    return picture


def _section(question: str, answer: Answer, truth: str) -> str:
    """Return one question with its answer and the pictures that prove it."""
    style = "answer abstained" if answer.abstained else "answer"
    figures = "\n".join(_figure(moment) for moment in answer.evidence)
    told = f'<p class="truth">Truth: {escape(truth)}</p>' if truth else ""
    return (
        f'<h2>{escape(question)}</h2>\n<p class="{style}">{escape(answer.text)}</p>\n{told}'
        f'<div class="moments">{figures}</div>'
    )


def _figure(moment: Evidence) -> str:
    """Return one moment as a picture with its time and scores."""
    image = f'<img alt="" src="{_data_uri(moment.thumbnail, "jpeg")}">' if moment.thumbnail else ""
    caption = f"{span(moment.start_s, moment.end_s)} · {moment.label} · score {moment.score:.2f}"
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _footer(memory: Memory, answers: Sequence[tuple[str, Answer]], encoder: Encoder) -> str:
    """Return what made the page."""
    seed = answers[0][1].seed if answers else 0
    model = answers[0][1].model if answers else ""
    record = run_record(model, seed, encoder)
    stats = memory.stats()
    return (
        ", ".join(f"{name} {value}" for name, value in record.items())
        + f", memory {stats.bytes / 1e6:.1f} of {stats.budget_bytes / 1e6:.0f} MB"
    )


def _data_uri(content: bytes, kind: str) -> str:
    """Return a picture as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
