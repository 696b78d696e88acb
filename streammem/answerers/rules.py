"""Answers by rules: every name and every time in them comes from a record of the memory."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from streammem.answerers.moments import MomentConfig, sampling_step_s
from streammem.answerers.phrases import counted, listed, sentence, span, times, verb
from streammem.answerers.questions import Question, parse_question
from streammem.answerers.shots import Shot, cut_shots
from streammem.answerers.sighting import Sighting, look_for
from streammem.names import format_time
from streammem.protocols import MemoryView
from streammem.records import Answer, Evidence, MemoryEntry


@dataclass(frozen=True, slots=True)
class RulesConfig:
    """Thresholds of the answers, calibrated by `scripts/bench_answers.py`.

    Below a presence of `absent_below` everywhere a thing is said to be absent; between that and
    `moments.on` the answer abstains. A shot is named from a probability of `name_from` on, and
    ends where neighbours' visual keys have a cosine below `alike`.
    """

    moments: MomentConfig = field(default_factory=MomentConfig)
    absent_below: float = 0.1
    name_from: float = 0.25
    alike: float = 0.7
    overview_shots: int = 8


@dataclass(frozen=True, slots=True)
class Draft:
    """What a rule found."""

    text: str
    evidence: Sequence[Evidence] = ()
    abstained: bool = False


class RulesAnswerer:
    """Answers *when, how many, is there, at, before, after, first, how long* and *describe*.

    What is not surely seen is not claimed: the answer then abstains and lists what comes closest.
    """

    name = "rules"

    def __init__(self, config: RulesConfig | None = None) -> None:
        self.config = config or RulesConfig()
        self._rules: dict[str, Callable[[Question, Scene], Draft]] = {
            "when": self._when,
            "search": self._when,
            "count": self._count,
            "presence": self._presence,
            "at": self._at,
            "after": self._beside,
            "before": self._beside,
            "first": self._first,
            "order": self._order,
            "duration": self._duration,
            "describe": self._describe,
        }

    def answer(self, question: str, view: MemoryView) -> Answer:
        """Return the answer to `question` from what `view` shows."""
        started = time.monotonic()
        asked = parse_question(question)
        scene = Scene(view, asked)
        if not scene.entries:
            draft = Draft(scene.nothing_seen(), abstained=True)
        else:
            draft = self._rules[asked.kind](asked, scene)
        return Answer(
            text=sentence(draft.text),
            evidence=tuple(draft.evidence),
            abstained=draft.abstained,
            model=self.name,
            seed=0,
            seconds=time.monotonic() - started,
            kind=asked.kind,
        )

    def _look(self, subject: str, scene: "Scene") -> Sighting:
        return look_for(
            subject,
            scene.view,
            scene.entries,
            config=self.config.moments,
            absent_below=self.config.absent_below,
        )

    def _when(self, asked: Question, scene: "Scene") -> Draft:
        seen = self._look(asked.subject, scene)
        if seen.grade != "sure":
            return _not_seen(seen, scene)
        subject, moments = asked.subject, seen.moments
        if asked.which != "all":
            moments = moments[:1] if asked.which == "first" else moments[-1:]
            when = times(moments, several=scene.several)
            said = verb(subject, "is", "are")
            return Draft(f"the {subject} {said} {asked.which} seen at {when}", moments)
        how_often = f"{counted(len(moments))}, " if len(moments) > 1 else ""
        when = times(moments, several=scene.several)
        return Draft(
            f"the {subject} {verb(subject, 'is', 'are')} seen {how_often}at {when}", moments
        )

    def _count(self, asked: Question, scene: "Scene") -> Draft:
        seen = self._look(asked.subject, scene)
        subject = asked.subject
        if seen.grade == "absent":
            return Draft(f"the {subject} {verb(subject, 'is', 'are')} never seen in {scene.span()}")
        if seen.grade != "sure":
            return _not_seen(seen, scene)
        when = times(seen.moments, several=scene.several)
        how_often = counted(len(seen.moments))
        return Draft(
            f"the {subject} {verb(subject, 'is', 'are')} seen {how_often}: at {when}", seen.moments
        )

    def _presence(self, asked: Question, scene: "Scene") -> Draft:
        seen = self._look(asked.subject, scene)
        if seen.grade == "absent":
            return Draft(f"no, I saw no {asked.subject} in {scene.span()}")
        if seen.grade != "sure":
            return _not_seen(seen, scene)
        return Draft(f"yes, at {times(seen.moments, several=scene.several)}", seen.moments)

    def _duration(self, asked: Question, scene: "Scene") -> Draft:
        seen = self._look(asked.subject, scene)
        if seen.grade != "sure":
            return _not_seen(seen, scene)
        when = times(seen.moments, several=scene.several)
        subject = asked.subject
        return Draft(
            f"the {subject} {verb(subject, 'is', 'are')} seen for about {seen.seconds:.0f} s "
            f"in all: at {when}",
            seen.moments,
        )

    def _first(self, asked: Question, scene: "Scene") -> Draft:
        found = [self._look(subject, scene) for subject in (asked.subject, asked.other)]
        unsure = [seen for seen in found if seen.grade != "sure"]
        if len(unsure) == 2:
            return _not_seen(unsure[0], scene)
        if unsure:
            (sure,) = (seen for seen in found if seen.grade == "sure")
            when = times(sure.moments[:1], several=scene.several)
            return Draft(
                f"I saw only the {sure.subject}, at {when}, and am not sure of "
                f"“{unsure[0].subject}”",
                sure.moments[:1],
                abstained=unsure[0].grade != "absent",
            )
        ordered = sorted(found, key=lambda seen: seen.moments[0].start_s)
        if not asked.earlier:
            ordered = sorted(found, key=lambda seen: -seen.moments[-1].start_s)
        pick = 0 if asked.earlier else -1
        one, two = (seen.moments[pick] for seen in ordered)
        word = "first" if asked.earlier else "last"
        other = "then" if asked.earlier else "before it"
        return Draft(
            f"the {ordered[0].subject} {verb(ordered[0].subject, 'comes', 'come')} {word}, at "
            f"{times([one], several=scene.several)}; {other} the {ordered[1].subject} at "
            f"{times([two], several=scene.several)}",
            (one, two),
        )

    def _order(self, asked: Question, scene: "Scene") -> Draft:
        found = [self._look(subject, scene) for subject in (asked.subject, asked.other)]
        for seen in found:
            if seen.grade != "sure":
                return _not_seen(seen, scene)
        one, two = (seen.moments[0] for seen in found)
        holds = (one.start_s < two.start_s) == asked.earlier
        when, then = (times([moment], several=scene.several) for moment in (one, two))
        reply = "yes" if holds else "no"
        return Draft(
            f"{reply}: the {asked.subject} at {when}, the {asked.other} at {then}", (one, two)
        )

    def _at(self, asked: Question, scene: "Scene") -> Draft:
        shots = self._shots(scene)
        if asked.time_s is None:
            shot = shots[-1]
            return Draft(f"now I see {self._named(shot)}", [shot.evidence()], self._dark(shot))
        outside = Draft(
            f"{format_time(asked.time_s)} was not watched; I saw {scene.span()}", abstained=True
        )
        first_s = min(shot.start_s for shot in shots)
        last_s = max(shot.end_s for shot in shots)
        if not first_s - scene.step_s <= asked.time_s <= last_s + scene.step_s:
            return outside
        shot = min(shots, key=lambda one: _distance(one, asked.time_s or 0.0))
        if _distance(shot, asked.time_s) > max(2 * scene.step_s, 2.0):
            return outside
        return Draft(
            f"at {format_time(asked.time_s)} I see {self._named(shot)}",
            [shot.evidence()],
            self._dark(shot),
        )

    def _beside(self, asked: Question, scene: "Scene") -> Draft:
        """Answer what comes right before or after the first sure moment of the subject."""
        seen = self._look(asked.subject, scene)
        if seen.grade != "sure":
            return _not_seen(seen, scene)
        moment = seen.moments[0]
        later = asked.kind == "after"
        shots = [
            shot
            for shot in self._shots(scene)
            if shot.entries[0].source_id == moment.source_id
            and (shot.start_s > moment.end_s if later else shot.end_s < moment.start_s)
        ]
        when = times([moment], several=scene.several)
        if not shots:
            end = "last" if later else "first"
            return Draft(
                f"nothing: the {asked.subject} at {when} is the {end} that I saw", [moment]
            )
        shot = shots[0] if later else shots[-1]
        return Draft(
            f"right {asked.kind} the {asked.subject} ({when}) I see {self._named(shot)} at "
            f"{span(shot.start_s, shot.end_s)}",
            [shot.evidence(), moment],
            self._dark(shot),
        )

    def _describe(self, asked: Question, scene: "Scene") -> Draft:
        shots = self._shots(scene)
        bright = [shot for shot in shots if not self._dark(shot)]
        told: dict[str, Shot] = {}
        for shot in sorted(bright, key=lambda one: -one.names[0][1]):
            told.setdefault(shot.names[0][0], shot)
        picked = sorted(
            list(told.values())[: self.config.overview_shots], key=lambda shot: shot.start_s
        )
        if not picked:
            return Draft(
                f"in {scene.span()} I saw {len(shots)} shots and nothing that I can name",
                [shot.evidence() for shot in shots[: self.config.overview_shots]],
                abstained=True,
            )
        words = listed(
            [f"{shot.names[0][0]} ({span(shot.start_s, shot.end_s)})" for shot in picked]
        )
        dark = len(shots) - len(bright)
        rest = f"; {dark} of {len(shots)} shots show what I cannot name" if dark else ""
        return Draft(f"in {scene.span()} I saw {words}{rest}", [shot.evidence() for shot in picked])

    def _shots(self, scene: "Scene") -> list[Shot]:
        return [
            shot
            for _, group in groupby(scene.entries, key=lambda entry: entry.source_id)
            for shot in cut_shots(list(group), scene.view.encoder, alike=self.config.alike)
        ]

    def _dark(self, shot: Shot) -> bool:
        """Return whether a shot shows nothing that can be named surely enough."""
        return not shot.names or shot.names[0][1] < self.config.name_from

    def _named(self, shot: Shot) -> str:
        """Return what a shot shows, and what it looks most like where that is not sure."""
        if not shot.names:
            return "something I cannot name"
        name, probability = shot.names[0]
        if self._dark(shot):
            return f"something I cannot name; closest is {name} ({probability:.2f})"
        others = [other for other, chance in shot.names[1:] if chance >= self.config.name_from]
        return f"{listed([name, *others])} ({probability:.2f})"


class Scene:
    """What one question may use: the view, cut to the span that the question names."""

    def __init__(self, view: MemoryView, asked: Question) -> None:
        self.view = view
        self.seen_s = view.seen_s
        self.several = len(self.seen_s) > 1
        self._asked = asked
        last_s = max((last for _, last in self.seen_s.values()), default=0.0)
        start_s = asked.start_s if asked.start_s >= 0 else last_s + asked.start_s
        self._limits = (start_s, asked.end_s)
        self.entries: list[MemoryEntry] = [
            entry
            for entry in view.entries()
            if entry.end_s >= start_s and entry.start_s <= asked.end_s
        ]
        self.step_s = sampling_step_s(self.entries)

    def span(self) -> str:
        """Return the span that was looked at, in words."""
        first_s = min(entry.start_s for entry in self.entries)
        last_s = max(entry.end_s for entry in self.entries)
        where = f" of {len(self.seen_s)} sources" if self.several else ""
        return f"{span(first_s, last_s)}{where}"

    def nothing_seen(self) -> str:
        """Return why there is nothing to answer from."""
        if not self.seen_s:
            until = self.view.at_s
            return "nothing was seen" + ("" if until is None else f" before {format_time(until)}")
        start_s, end_s = self._limits
        asked = span(start_s, end_s) if math.isfinite(end_s) else f"after {format_time(start_s)}"
        watched = listed([span(first, last) for first, last in self.seen_s.values()])
        return f"nothing was seen in {asked}; I watched {watched}"


def _not_seen(seen: Sighting, scene: Scene) -> Draft:
    """Return the answer where a thing is not surely seen."""
    subject = seen.subject
    if seen.grade == "absent":
        return Draft(f"I did not see “{subject}” in {scene.span()}", seen.closest, abstained=True)
    closest = ""
    if seen.closest:
        moment = seen.closest[0]
        closest = f"{times([moment], several=scene.several)} ({moment.label})"
    if seen.grade == "unknown":
        return Draft(
            f"I cannot recognise “{subject}”; the closest match is at {closest}",
            seen.closest,
            abstained=True,
        )
    return Draft(
        f"I am not sure that I saw “{subject}”; the closest match is at {closest}",
        seen.closest,
        abstained=True,
    )


def _distance(shot: Shot, time_s: float) -> float:
    """Return how far a moment lies from a shot, 0 inside it."""
    return max(shot.start_s - time_s, time_s - shot.end_s, 0.0)
