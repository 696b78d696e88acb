"""Which of two things was seen first, and whether one came before or after the other.

Only the times of one source can be compared.
"""

from collections import defaultdict
from collections.abc import Sequence

from streammem.answerers.drafts import Draft, not_seen
from streammem.answerers.phrases import listed, times, verb
from streammem.answerers.scene import Scene
from streammem.answerers.sighting import Sighting
from streammem.records import Evidence


def first_of(one: Sighting, other: Sighting, scene: Scene, *, earlier: bool) -> Draft:
    """Return which of two things was seen first, or last where not `earlier`."""
    unsure = [seen for seen in (one, other) if seen.grade != "sure"]
    if len(unsure) == 2:
        return not_seen(unsure[0], scene)
    if unsure:
        (sure,) = (seen for seen in (one, other) if seen.grade == "sure")
        when = times(sure.moments[:1], several=scene.several)
        return Draft(
            f"I saw only the {sure.said}, at {when}, and am not sure of “{unsure[0].asked}”",
            sure.moments[:1],
            abstained=unsure[0].grade != "absent",
        )
    shared = _in_one_source(one, other)
    if shared is None:
        return _incomparable(one, other, scene)
    pick = 0 if earlier else -1
    mine, others = shared[0][pick], shared[1][pick]
    if mine.start_s == others.start_s:
        return _at_once("neither", (one, mine), (other, others), scene)
    winner, loser = (one, mine), (other, others)
    if (mine.start_s < others.start_s) != earlier:
        winner, loser = loser, winner
    word, rest = ("first", "then") if earlier else ("last", "before it")
    comes = verb(winner[0].subject, "comes", "come")
    return Draft(
        f"the {winner[0].said} {comes} {word}, at {_when(scene, winner[1])}; "
        f"{rest} the {loser[0].said} at {_when(scene, loser[1])}",
        (winner[1], loser[1]),
    )


def in_order(one: Sighting, other: Sighting, scene: Scene, *, earlier: bool) -> Draft:
    """Return whether `one` was first seen before `other`, or at any time after where not `earlier`.

    What was seen before and again after is said to be both.
    """
    for seen in (one, other):
        if seen.grade != "sure":
            return not_seen(seen, scene)
    shared = _in_one_source(one, other)
    if shared is None:
        return _incomparable(one, other, scene)
    first, reference = shared[0][0], shared[1][0]
    later = next((moment for moment in shared[0] if moment.start_s > reference.start_s), None)
    reply = "yes" if (first.start_s < reference.start_s) == earlier else "no"
    if not earlier and later is not None and later is not first:
        return Draft(
            f"yes, though not at first: the {one.said} at {_when(scene, first, later)}, "
            f"the {other.said} at {_when(scene, reference)}",
            (first, later, reference),
        )
    if first.start_s == reference.start_s:
        return _at_once("no", (one, first), (other, reference), scene)
    return Draft(
        f"{reply}: the {one.said} at {_when(scene, first)}, "
        f"the {other.said} at {_when(scene, reference)}",
        (first, reference),
    )


def _when(scene: Scene, *moments: Evidence) -> str:
    return times(moments, several=scene.several)


def _at_once(
    reply: str, one: tuple[Sighting, Evidence], other: tuple[Sighting, Evidence], scene: Scene
) -> Draft:
    """Return the answer where two things are seen from the same frame on."""
    return Draft(
        f"{reply}, both at once: the {one[0].said} at {_when(scene, one[1])}, "
        f"the {other[0].said} at {_when(scene, other[1])}",
        (one[1], other[1]),
    )


def _in_one_source(
    one: Sighting, other: Sighting
) -> tuple[Sequence[Evidence], Sequence[Evidence]] | None:
    """Return the moments of both in the first source that shows both."""
    moments: defaultdict[str, tuple[list[Evidence], list[Evidence]]] = defaultdict(lambda: ([], []))
    for place, seen in enumerate((one, other)):
        for moment in seen.moments:
            moments[moment.source_id][place].append(moment)
    return next((both for both in moments.values() if all(both)), None)


def _incomparable(one: Sighting, other: Sighting, scene: Scene) -> Draft:
    """Return the answer where two things are seen, but never in the same source."""
    places = listed(
        [f"the {seen.said} at {_when(scene, seen.moments[0])}" for seen in (one, other)]
    )
    return Draft(
        f"the two are seen in different sources: {places}",
        [seen.moments[0] for seen in (one, other)],
        abstained=True,
    )
