"""An answerer by its name."""

from streammem.answerers.rules import RulesAnswerer
from streammem.errors import one_of
from streammem.protocols import Answerer

ANSWERERS = ("embedded",)


def choose_answerer(name: str = "embedded") -> Answerer:
    """Return the answerer called `name`; `embedded` answers by rules from the records alone."""
    if name not in ANSWERERS:
        raise one_of("answerer", name, ANSWERERS)
    return RulesAnswerer()
