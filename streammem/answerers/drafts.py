"""What a rule found, before it is an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from streammem.answerers.phrases import times
from streammem.answerers.scene import Scene
from streammem.answerers.sighting import Sighting
from streammem.records import Evidence


@dataclass(frozen=True, slots=True)
class Draft:
    """The words of an answer, without capital and full stop, and its moments."""

    text: str
    evidence: Sequence[Evidence] = ()
    abstained: bool = False


def not_seen(seen: Sighting, scene: Scene) -> Draft:
    """Return the answer where a thing is not surely seen."""
    if seen.grade == "absent":
        what = f"“{seen.subject}”" if seen.subject == seen.asked else f"the {seen.said}"
        return Draft(f"I did not see {what} in {scene.span()}", seen.closest, abstained=True)
    closest = ""
    if seen.closest:
        moment = seen.closest[0]
        closest = f"{times([moment], several=scene.several)} ({moment.label})"
    if seen.grade == "unknown":
        return Draft(
            f"I cannot recognise “{seen.asked}”; the closest match is at {closest}",
            seen.closest,
            abstained=True,
        )
    return Draft(
        f"I am not sure that I saw “{seen.asked}”; the closest match is at {closest}",
        seen.closest,
        abstained=True,
    )
