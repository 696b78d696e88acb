"""Answers by rules: every name and every time in them comes from a record of the memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from streammem.answerers.drafts import Draft, not_seen
from streammem.answerers.moments import MomentConfig
from streammem.answerers.ordering import first_of, in_order
from streammem.answerers.phrases import counted, listed, sentence, span, times, verb
from streammem.answerers.questions import WHOLE, Question, Which, parse_question
from streammem.answerers.scene import Scene
from streammem.answerers.shots import Shot, name_shots
from streammem.answerers.sighting import Sighting, look_for
from streammem.answerers.things import separate
from streammem.names import format_time
from streammem.protocols import MemoryView
from streammem.records import Answer, Evidence

_REACH_S = 2.0
_NTH: tuple[Which, ...] = ("first", "second", "third", "fourth", "fifth")
_BY_THING = ("when", "count", "presence", "duration")


@dataclass(frozen=True, slots=True)
class RulesConfig:
    """Thresholds of the answers, chosen on the tuning half of `scripts/bench_answers.py`.

    Below a presence of `absent_below` everywhere a thing is said to be absent; between that and
    `moments.on` the answer abstains. A shot is named where the name is as sure as `name_from`, as
    `name_lone_from` where the shot is a single frame, and ends where neighbours' visual keys have
    a cosine below `alike`. An overview names up to `overview_shots` shots.
    """

    moments: MomentConfig = field(default_factory=MomentConfig)
    absent_below: float = 0.05
    name_from: float = 0.6
    name_lone_from: float = 0.8
    alike: float = 0.6
    overview_shots: int = 8


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
        draft = self._draft(asked, scene)
        return Answer(
            text=sentence(draft.text),
            evidence=tuple(draft.evidence),
            abstained=draft.abstained,
            model=self.name,
            seed=0,
            seconds=time.monotonic() - started,
            kind=asked.kind,
        )

    def _draft(self, asked: Question, scene: Scene) -> Draft:
        """Return what the rule of the question finds, for each of several things by itself."""
        if not scene.entries:
            return Draft(scene.nothing_seen(), abstained=True)
        rule = self._rules[asked.kind]
        things = separate(asked.subject) if asked.kind in _BY_THING else ()
        if len(things) < 2:
            return rule(asked, scene)
        drafts = [rule(replace(asked, subject=thing), scene) for thing in things]
        said = [draft.text for draft in drafts]
        if asked.kind == "presence":
            said = [f"{thing}: {text}" for thing, text in zip(things, said, strict=True)]
        return Draft(
            "; ".join(said),
            [moment for draft in drafts for moment in draft.evidence],
            abstained=all(draft.abstained for draft in drafts),
        )

    def _look(self, subject: str, scene: Scene) -> Sighting:
        return look_for(
            subject,
            scene.view,
            scene.entries,
            config=self.config.moments,
            absent_below=self.config.absent_below,
        )

    def _when(self, asked: Question, scene: Scene) -> Draft:
        seen = self._look(asked.subject, scene)
        if seen.grade != "sure":
            return not_seen(seen, scene)
        moments, is_ = seen.moments, verb(seen.subject, "is", "are")
        what = f"“{seen.said}”" if asked.kind == "search" else f"the {seen.said}"
        if asked.which != "all":
            picked = _pick(moments, asked.which)
            if picked is None:
                return _seen_less_often(seen, scene)
            when = times([picked], several=scene.several)
            if asked.which in ("first", "last"):
                return Draft(f"{what} {is_} {asked.which} seen at {when}", [picked])
            return Draft(f"{what} {is_} seen for the {asked.which} time at {when}", [picked])
        how_often = f"{counted(len(moments))}, " if len(moments) > 1 else ""
        when = times(moments, several=scene.several)
        return Draft(f"{what} {is_} seen {how_often}at {when}", moments)

    def _count(self, asked: Question, scene: Scene) -> Draft:
        seen = self._look(asked.subject, scene)
        is_ = verb(seen.subject, "is", "are")
        if seen.grade == "absent":
            return Draft(f"the {seen.said} {is_} never seen in {scene.span()}")
        if seen.grade != "sure":
            return not_seen(seen, scene)
        when = times(seen.moments, several=scene.several)
        how_often = counted(len(seen.moments))
        return Draft(f"the {seen.said} {is_} seen {how_often}: at {when}", seen.moments)

    def _presence(self, asked: Question, scene: Scene) -> Draft:
        seen = self._look(asked.subject, scene)
        if seen.grade == "absent":
            return Draft(f"no, I saw no {seen.said} in {scene.span()}")
        if seen.grade != "sure":
            return not_seen(seen, scene)
        what = "" if seen.said == asked.subject else f" the {seen.said}"
        return Draft(f"yes,{what} at {times(seen.moments, several=scene.several)}", seen.moments)

    def _duration(self, asked: Question, scene: Scene) -> Draft:
        if asked.subject in WHOLE:
            return Draft(f"I watched {scene.span()}: about {scene.seconds():.0f} s in all")
        seen = self._look(asked.subject, scene)
        if seen.grade != "sure":
            return not_seen(seen, scene)
        when = times(seen.moments, several=scene.several)
        is_ = verb(seen.subject, "is", "are")
        length = f"for about {seen.seconds:.0f} s in all"
        return Draft(f"the {seen.said} {is_} seen {length}: at {when}", seen.moments)

    def _first(self, asked: Question, scene: Scene) -> Draft:
        found = [self._look(subject, scene) for subject in (asked.subject, asked.other)]
        return first_of(found[0], found[1], scene, earlier=asked.earlier)

    def _order(self, asked: Question, scene: Scene) -> Draft:
        found = [self._look(subject, scene) for subject in (asked.subject, asked.other)]
        return in_order(found[0], found[1], scene, earlier=asked.earlier)

    def _at(self, asked: Question, scene: Scene) -> Draft:
        """Answer what each source shows at the moment, or shows now."""
        moment_s = scene.view.at_s if asked.time_s is None else asked.time_s
        shown = []
        for shots in scene.shots_by_source(alike=self.config.alike):
            time_s = shots[-1].end_s if moment_s is None else moment_s
            shot = min(shots, key=lambda one: one.distance_s(time_s))
            if shot.distance_s(time_s) <= max(scene.step_s, _REACH_S):
                shown.append(shot)
        if not shown:
            when = format_time(moment_s or 0.0)
            return Draft(f"I hold nothing of {when}; I saw {scene.span()}", abstained=True)
        named = name_shots(shown, scene.view.encoder)
        when = "now" if asked.time_s is None else f"at {format_time(asked.time_s)}"
        seen = listed([self._named(shot) + scene.source_of(shot) for shot in named])
        return Draft(
            f"{when} I see {seen}",
            [shot.evidence() for shot in named],
            abstained=not any(self._is_clear(shot) for shot in named),
        )

    def _beside(self, asked: Question, scene: Scene) -> Draft:
        """Answer what comes right before or after the named moment of the subject, or its first."""
        seen = self._look(asked.subject, scene)
        if seen.grade != "sure":
            return not_seen(seen, scene)
        moment = _pick(seen.moments, "first" if asked.which == "all" else asked.which)
        if moment is None:
            return _seen_less_often(seen, scene)
        later = asked.kind == "after"
        beside = [
            shot
            for shots in scene.shots_by_source(alike=self.config.alike)
            for shot in shots
            if shot.source_id == moment.source_id
            and (shot.start_s > moment.end_s if later else shot.end_s < moment.start_s)
        ]
        when = times([moment], several=scene.several)
        if not beside:
            end = "last" if later else "first"
            is_ = verb(seen.subject, "is", "are")
            return Draft(f"nothing: the {seen.said} at {when} {is_} the {end} I saw", [moment])
        (shot,) = name_shots([beside[0 if later else -1]], scene.view.encoder)
        return Draft(
            f"right {asked.kind} the {seen.said} ({when}) I see {self._named(shot)} at "
            f"{span(shot.start_s, shot.end_s)}",
            [shot.evidence(), moment],
            abstained=not self._is_clear(shot),
        )

    def _describe(self, asked: Question, scene: Scene) -> Draft:
        cut = [shot for part in scene.shots_by_source(alike=self.config.alike) for shot in part]
        shots = name_shots(cut, scene.view.encoder)
        clear = [shot for shot in shots if self._is_clear(shot)]
        told: dict[str, Shot] = {}
        for shot in sorted(clear, key=lambda one: -one.surety):
            told.setdefault(shot.name, shot)
        picked = sorted(
            list(told.values())[: self.config.overview_shots],
            key=lambda shot: (shot.source_id, shot.start_s),
        )
        if not picked:
            shots_ = "shot" if len(shots) == 1 else "shots"
            return Draft(
                f"in {scene.span()} I saw {len(shots)} {shots_} and nothing that I can name",
                [shot.evidence() for shot in shots[: self.config.overview_shots]],
                abstained=True,
            )
        words = [
            f"{shot.name} ({span(shot.start_s, shot.end_s)}{scene.source_of(shot)})"
            for shot in picked
        ]
        unclear = len(shots) - len(clear)
        rest = f"; of {len(shots)} shots I cannot name {unclear}" if unclear else ""
        return Draft(
            f"in {scene.span()} I saw {listed(words)}{rest}", [shot.evidence() for shot in picked]
        )

    def _is_clear(self, shot: Shot) -> bool:
        lone = shot.frames == 1
        return shot.surety >= (self.config.name_lone_from if lone else self.config.name_from)

    def _named(self, shot: Shot) -> str:
        """Return what a shot shows, and what it looks most like where that is not sure."""
        if self._is_clear(shot):
            return f"{shot.name} ({shot.surety:.2f})"
        return f"something I cannot name; closest is {shot.name} ({shot.surety:.2f})"


def _pick(moments: Sequence[Evidence], which: Which) -> Evidence | None:
    """Return the moment asked for, None where there are not as many."""
    if which == "last":
        return moments[-1]
    place = _NTH.index(which)
    return moments[place] if place < len(moments) else None


def _seen_less_often(seen: Sighting, scene: Scene) -> Draft:
    is_, when = verb(seen.subject, "is", "are"), times(seen.moments, several=scene.several)
    return Draft(
        f"the {seen.said} {is_} seen only {counted(len(seen.moments))}, at {when}",
        seen.moments,
        abstained=True,
    )
