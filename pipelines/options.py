"""Multiple choice: which of the given options a memory supports."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.answer import View
from streammem.answerers.choose import choose_answerer
from streammem.errors import UsageError
from streammem.records import Answer

_LETTER = re.compile(r"^\(?[A-Z][.):]\s*")


def answer_with_options(
    view: View, question: str, options: Sequence[str], *, answerer: str = "embedded"
) -> Answer:
    """Answer `question` with one of `options`, word for word.

    An option that the open answer says wins; else the one whose words fit what was seen best.
    The answer abstains where the memory shows none of them.
    """
    if len(options) < 2:
        raise UsageError(f"a choice needs at least 2 options, got {len(options)}")
    opened = choose_answerer(answerer).answer(question, view)
    said = [option for option in options if _says(opened.text, _bare(option))]
    if len(said) == 1 and not opened.abstained:
        return replace(opened, text=said[0], kind="choice")
    entries = view.entries()
    if not entries:
        return replace(opened, text=options[0], abstained=True, kind="choice")
    keys = np.stack([entry.key for entry in entries])  # [N, D]
    presence = [float(view.encoder.presence(_bare(option), keys).max()) for option in options]
    queries = view.encoder.encode_text([f"{question} {_bare(option)}" for option in options])
    similarity = (queries @ keys.T).max(axis=1)  # [options]
    best = max(range(len(options)), key=lambda i: (presence[i], float(similarity[i])))
    return replace(opened, text=options[best], abstained=presence[best] < 0.3, kind="choice")


def _bare(option: str) -> str:
    """Return an option without its letter: "B. a cat" is "a cat"."""
    return _LETTER.sub("", option).strip()


def _says(text: str, option: str) -> bool:
    """Return whether `option` stands in `text` as whole words."""
    pattern = rf"(?<!\w){re.escape(option.lower())}(?!\w)"
    return re.search(pattern, text.lower()) is not None
