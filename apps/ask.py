"""`streammem ask` and `streammem search`: questions and look-ups over a video or a memory."""

import argparse
import os
from pathlib import Path

from apps.output import (
    answer_json,
    evidence_json,
    moment_lines,
    note,
    print_json,
    run_record,
)
from apps.report import write_report
from apps.settings import read_settings
from apps.watch import encoder_for, memory_for, watch
from memory_banks.store import is_memory
from memory_banks.tiered import open_memory
from pipelines.answer import ask
from pipelines.search import search_image, search_text
from streammem.answerers.choose import choose_answerer
from streammem.encoders.choose import choose_encoder
from streammem.errors import UsageError
from streammem.model_files import home
from streammem.names import parse_time
from streammem.sources.folder import read_image

SEED = 0


def run(arguments: argparse.Namespace) -> int:
    """Answer one question about a memory, or about a video that is watched first."""
    if not arguments.question.strip():
        raise UsageError('the question is empty; ask something like "when does the cat appear?"')
    at_s = None if arguments.at is None else parse_time(arguments.at)
    settings = read_settings(arguments)
    target = Path(arguments.target)
    path = target if is_memory(target) else memory_path(target)
    encoder = encoder_for(path, settings)
    if path != target:
        with memory_for(path, encoder, settings) as memory:
            watched = watch(arguments.target, encoder, memory, settings, quiet=arguments.quiet)
        if watched.stopped_at_s is not None:
            note("stopped; ask again to continue watching from there")
            return 130
        if watched.frames:
            note(f"remembered in {path}; further questions need no watching")
    with open_memory(path, encoder=encoder, mode="read") as memory:
        answer = ask(
            memory,
            encoder,
            choose_answerer("embedded"),
            arguments.question,
            at_s=at_s,
            source_id=arguments.source,
        )
        several = len(memory.sources()) > 1
        if arguments.report:
            write_report(
                Path(arguments.report),
                title=target.name,
                memory=memory,
                answers=[(arguments.question, answer)],
                encoder=encoder,
            )
    if arguments.json:
        print_json(answer_json(arguments.question, answer, encoder))
        return 0
    print(answer.text)
    for line in moment_lines(answer.evidence, name_source=several):
        print(line)
    return 0


def search(arguments: argparse.Namespace) -> int:
    """Print the moments most like the words, or most like a picture."""
    if (arguments.query is None) == (arguments.image is None):
        raise UsageError("give either words to look for or --image FILE")
    at_s = None if arguments.at is None else parse_time(arguments.at)
    with open_memory(Path(arguments.memory), mode="read") as memory:
        encoder = choose_encoder(str(memory.metadata()["encoder"]))
        memory.check_encoder(encoder)
        where = {"k": arguments.k, "at_s": at_s, "source_id": arguments.source}
        if arguments.image is not None:
            image = read_image(Path(arguments.image))
            moments = search_image(memory, encoder, image, **where)
        else:
            moments = search_text(memory, encoder, arguments.query, **where)
        several = len(memory.sources()) > 1
    if arguments.json:
        print_json(
            {
                "query": arguments.query or arguments.image,
                "moments": [evidence_json(moment) for moment in moments],
                **run_record("", SEED, encoder),
            }
        )
        return 0
    for line in moment_lines(moments, name_source=several):
        print(line.strip())
    if not moments:
        note("the memory holds nothing yet")
    return 0


def memory_path(video: Path) -> Path:
    """Return where the memory of a video is kept: beside it, or at home where that is locked."""
    beside = video.with_name(video.name + ".smem")
    if beside.exists() or os.access(video.parent, os.W_OK):
        return beside
    kept = home() / "memories"
    kept.mkdir(parents=True, exist_ok=True)
    return kept / f"{video.resolve().as_posix().strip('/').replace('/', '_')[-120:]}.smem"
