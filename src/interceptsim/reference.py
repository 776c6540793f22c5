"""The reference engine: the same scenario as a plain SimPy program, a process for every attempt.

Read from top to bottom, it tells what is simulated. A line dials, and each attempt waits for its time. The
line presents a number as long as that number lives; then it falls silent until it has another. The carriers'
rules look at one attempt after the other. Some people complain, police work, lists are published, and a
listing takes effect when the clock reaches it.

It knows no slice, no batch, no threads and no table of lines, and it is thousands of times slower than the
columnar engine, which must find the same verdict, reason and outcome for every attempt. Both share the draws,
the numbers handed out by them, and the control plane; this one decides by `filtering.rowwise`.
"""

from __future__ import annotations

import itertools
import sys
from bisect import bisect_right
from collections.abc import Generator
from typing import Any, Final

import numpy as np
import simpy
from numpy.typing import NDArray

from interceptsim.attempts import (
    ANSWERED,
    CHANNELS,
    COLUMNS,
    DELIVERED,
    ENTRIES,
    EXPIRED,
    FAILED,
    INTERCEPT,
    INTERCEPTED,
    LABEL,
    LOST,
    NOT_MADE,
    OPEN,
    SCORE_ONE,
    UNANSWERED,
)
from interceptsim.control import MEASUREMENT, ControlPlane
from interceptsim.filtering.rowwise import Attempt, Judgement, RowFilter
from interceptsim.numbering import neighbour_number, own_number, random_number, subscriber_number
from interceptsim.randomness import (
    DELAY_LOGNORMAL,
    delay_us,
    draw,
    exp_of,
    index_below,
    log_of,
    mix64,
    normal_quantile,
    poisson,
    spread,
    stream_id,
    threshold,
    unit,
)
from interceptsim.recorder import Recorder
from interceptsim.response.police import COMPLAINED, ENGAGED, FOUND, GIVEN_UP, WORD
from interceptsim.traffic.adaptation import MoveToMessages, RotateNumbers, SlowDown, SpreadEntries, acts_on
from interceptsim.traffic.model import CallerGroup, LineGroup, Profile
from interceptsim.traffic.population import FOLDS, PANEL_STEP
from interceptsim.units import DAY_US, HOUR_US, Delay
from interceptsim.world import Accounts, Progress, Tally, World, column_of

__all__ = ["ReferenceEngine"]

MIDNIGHT, LISTING, GOES, COMES, ATTEMPT = range(MEASUREMENT + 1, MEASUREMENT + 6)
"""What happens at one microsecond, in this order, after control: listings hold, numbers go and come, people call."""

Words = tuple[int, int, int, int]
Process = Generator[simpy.Event, Any, None]


class Hours:
    """The hours of a profile: when a line that follows it has been active for so long."""

    def __init__(self, profile: Profile, first_weekday: int, hours: int, tick_us: int) -> None:
        self._tick_us = tick_us
        self._weights = []
        for hour in range(hours):
            weekday = (first_weekday + hour // 24) % 7
            self._weights.append(profile.hours[hour % 24] * profile.days[weekday])
        self._reached = [0, *itertools.accumulate(weight * HOUR_US for weight in self._weights)]
        self.week = sum(profile.hours) * sum(profile.days) * HOUR_US

    def reached(self, time_us: int) -> int:
        """Return the operational time at the start of an hour."""
        return self._reached[time_us // HOUR_US]

    def when(self, operational: int) -> int | None:
        """Return when an operational time (weight of the hour x us) is reached, in us of the run; None past its end."""
        hour = bisect_right(self._reached, operational) - 1
        if hour == len(self._weights):
            return None
        time_us = hour * HOUR_US + (operational - self._reached[hour]) // self._weights[hour]
        return time_us // self._tick_us * self._tick_us


class Group:
    """What the lines of one group have in common."""

    def __init__(self, position: int, spec: LineGroup | CallerGroup, hours: Hours, world: World) -> None:
        record = world.population.groups[position]
        self.position = position
        self.spec = spec
        self.hours = hours
        self.channel = CHANNELS.index(spec.channel)
        self.entry = ENTRIES.index(spec.entry)
        self.own_kind, self.a_kind = int(record["own_kind"]), int(record["a_kind"])
        self.presents = int(record["presents"])
        self.serial, self.serial_step = int(record["serial"]), int(record["serial_step"])
        self.ordinary = isinstance(spec, CallerGroup)
        self.first_index = int(record["first_index"])
        self.rates = float(record["rate_from"]), float(record["rate_to"])
        self.kinds = ["ordinary"] if self.ordinary else list(world.population.hubs[spec.hub].fraud_types)
        self.shares = [1.0] if self.ordinary else list(world.population.hubs[spec.hub].fraud_types.values())
        self.country_code = int(record["country_code"])
        self.cell_of = {
            (cell.fraud_type, cell.hub): row
            for row, cell in enumerate(world.population.cells)
            if cell.group == position
        }
        self.cells = [row for (_, hub), row in self.cell_of.items() if hub == spec.hub]
        self.campaigns = [int(world.population.types[cell, 1]) for cell in self.cells]
        police = world.scenario.police
        ratio = police.voice_complaint_ratio if spec.channel == "voice" else police.sms_complaint_ratio
        self.complaint_bound = 0 if self.ordinary else threshold(ratio)
        people = world.scenario.people
        engaged = getattr(people, f"{spec.channel}_engaged_ratio") if people and not self.ordinary else 0.0
        self.engaged_bound = threshold(1.0 - engaged)
        self.found_bound = 0 if self.ordinary else threshold(police.own_work_ratio)
        self.people = stream_id(f"person/{spec.id}")
        calls = spec.calls
        self.failed_bound = threshold(calls.failed_ratio)
        self.answered_bound = threshold(min(calls.failed_ratio + calls.answer_ratio, 1.0))
        wary = calls.failed_ratio + calls.answer_ratio * (1 - calls.label_effect)
        self.labelled_bound = threshold(min(wary, 1.0))
        network = world.scenario.network
        place = network.place_of(spec) if network and spec.channel == "sms" else None
        self.validity_us = network.smscs[place].validity if network and place is not None else sys.maxsize
        self.attempts = stream_id(f"attempt/{spec.id}")
        self.lines = stream_id(f"line/{spec.id}")
        self.numbers = stream_id(f"number/{spec.id}")
        self.fates = stream_id(f"fate/{spec.id}")
        self.incoming = stream_id(f"incoming/{spec.id}")
        self.police = stream_id(f"police/{spec.id}")
        self.again = stream_id(f"again/{spec.id}")
        changes = world.changes
        self.raids = changes.raids_on(spec.hub)
        self.raiding = stream_id(f"raid/{spec.id}")
        self.restrictions = [r for r in changes.restrictions if not r.lines or spec.id in r.lines]
        self.adaptations = (
            [] if isinstance(spec, CallerGroup) else [a for a in world.scenario.adaptations if acts_on(a, spec)]
        )
        self.messages: Group | None = None


class Number:
    """What a line presents while it lives, and the template it sends."""

    def __init__(self, generation: int, digits: int) -> None:
        self.generation = generation
        self.digits = digits
        self.life_us = self.notice_us = self.resupply_us = 0
        self.content = self.link = self.text = 0
        self.pick = 0
        self.answers: list[bool] = []
        self.was_presented = False
        self.was_reported = False
        self.is_watched = False
        self.reached = self.before = self.talked = 0
        self.known_us = sys.maxsize
        self.dropped: simpy.Event


class Line:
    """A place to call from."""

    def __init__(self, position: int, index: int, many: int, group: Group) -> None:
        self.position = position
        self.index = index
        self.group = group
        self.many = many
        self.fold = index % FOLDS if group.ordinary else index * FOLDS // many
        self.cell = self.campaign = 0
        self.starts_us, self.ends_us = 0, sys.maxsize
        self.cut_off_day = -1
        self.entry = group.entry
        self.slow_until_us = 0
        self.again: int | None = None
        self.interceptions = 0
        self.counts_as = group
        self.in_a_row = 0
        self.moved_until_us = 0
        self.gap = 0.0
        self.numbers: list[Number] = []
        self.number: Number | None = None
        self.counted: Number | None = None
        self.bought = 0
        self.kind = ""
        self.away_us = self.back_us = sys.maxsize
        self.elsewhere = ""


class ReferenceEngine:
    """Runs a world attempt by attempt, and counts as the columnar engine does.

    `control` makes the control plane: anything that is called and acts as `ControlPlane`.
    """

    def __init__(
        self, world: World, recorder: Recorder | None = None, control: type[ControlPlane] = ControlPlane
    ) -> None:
        scenario, period = world.scenario, world.scenario.period
        self._world = world
        self._key = world.key
        self._recorder = recorder
        self._responds = scenario.people is not None
        self._control = control(
            scenario,
            world.key,
            self,
            network=world.network_load(),
            wrongly_listed=world.wrongly_listed(),
            response=world.response(story_folds=recorder.story_folds if recorder else 0),
            keep_posted=recorder is not None,
        )
        self._at: Final = self._control.at
        self._env = self._control.env
        self._filter = RowFilter(scenario.policies, carriers=tuple(c.id for c in scenario.population.carriers))
        self._carriers = world.carriers().tolist()
        self._subscribers = max(scenario.population.subscribers // world.scale, 1)
        self._first_day = period.warm_up_days
        self._days = period.warm_up_days + world.days
        population = world.population
        self._accounts = Accounts.empty(len(population.cells), len(population.groups), len(world.core.rules))
        self._daily = np.zeros((world.days, *self._accounts.daily.shape), np.int64)
        self._attempts = 0
        self._lost = [0] * len(population.groups)
        self._lag_us = [0] * len(population.groups)
        self._written: list[tuple[Attempt, Judgement, int, int, int]] = []
        self._lines: list[Line] = []
        hours = {
            profile.id: Hours(profile, world.first_day.weekday(), self._days * 24, scenario.traffic.tick)
            for profile in scenario.traffic.profiles
        }
        groups = [Group(position, spec, hours[spec.profile], world) for position, spec in enumerate(population.names)]
        of_messages = {g: int(k) for g, k in enumerate(population.groups["messages"]) if k >= 0}
        for group in groups:
            spec, position = group.spec, group.position
            if position in of_messages:
                group.messages = groups[of_messages[position]]
            many = 0 if position in of_messages.values() else int(population.kept_lines[position])
            for index in range(group.first_index, group.first_index + many):
                line = Line(len(self._lines), index, many, group)
                if isinstance(spec, CallerGroup):
                    line.starts_us, line.ends_us = self._panel(spec, index)
                self._raid(line)
                self._lines.append(line)

    def run(self, progress: Progress | None = None) -> Tally:
        """Let the whole run happen and return what was counted."""
        self._env.process(self._midnights(progress))
        for line in self._lines:
            self._env.process(self._dial(line))
            self._env.process(self._present(line))
        self._control.run_until(self._days * DAY_US)
        control = self._control
        told = control.handed_over, control.listed, control.posted, control.network_counts(), control.finish()
        return Tally(self._accounts, self._daily, self._attempts, *told, control.wrongly_listed)

    def _draw(self, stream: int, line: int, ordinal: int) -> Words:
        words: Words = draw(self._key[0], self._key[1], stream, line, ordinal)
        return words

    def _panel(self, spec: CallerGroup, index: int) -> tuple[int, int]:
        """Return the days on which an ordinary line is seen; panels are spread over the counted days."""
        counted = self._days - self._first_day
        length = min(spec.panel // DAY_US, counted)
        first = self._first_day + index * PANEL_STEP % (counted - length + 1)
        return first * DAY_US, (first + length) * DAY_US

    # What a line does.

    def _dial(self, line: Line) -> Process:
        """Let a line make its attempts, one after the other."""
        group, spec = line.group, line.group.spec
        own, _, _, first = self._draw(group.lines, line.index, 0)
        shifts = self._draw(group.lines, 0, 2)
        rate, kind = spread(shifts[0], shifts[1], line.index)
        sigma = spec.rate_sigma
        where = unit(rate)
        if group.ordinary:  # a sample has all rates in turn
            low, high = group.rates
            where = low + (line.index - group.first_index + unit(own)) / line.many * (high - low)
        factor = exp_of(sigma * normal_quantile(where) - sigma * sigma / 2.0) if sigma > 0 else 1.0
        line.gap = group.hours.week / (7.0 * spec.attempts_per_day) / factor
        self._take_part(line, kind)
        operational = group.hours.reached(line.starts_us) + int(-log_of(unit(first)) * line.gap)
        for ordinal in itertools.count():
            due_us = group.hours.when(operational)
            if due_us is None or due_us >= line.ends_us:
                return
            words = self._draw(group.attempts, line.index, ordinal)
            yield self._env.process(self._attempt(line, ordinal, due_us, words))
            operational += int(-log_of(unit(words[0])) * line.gap)

    def _take_part(self, line: Line, word: int) -> None:
        """Give a line its fraud type, and so its campaign, by the shares of its hub."""
        group, total = line.group, 0.0
        for kind, cell, campaign, share in zip(group.kinds, group.cells, group.campaigns, group.shares, strict=True):
            line.kind, line.cell, line.campaign = kind, cell, campaign
            total += share
            if word < threshold(min(total, 1.0)):
                return

    def _raid(self, line: Line) -> None:
        """Tell which raid takes a line away, if any does, and whether it comes back somewhere."""
        for raid in line.group.raids:
            day = raid.date.toordinal()
            taken, returns, where, how_long = self._draw(line.group.raiding, line.index, day)
            if taken >= threshold(raid.taken_ratio):
                continue
            line.away_us = raid.at_us
            if raid.elsewhere and returns < threshold(raid.returning_ratio):
                line.back_us = raid.at_us + max(_delay(raid.away, how_long), 1)
                line.elsewhere = raid.elsewhere[where * len(raid.elsewhere) >> 32]
            return

    def _present(self, line: Line) -> Process:
        """Let a line have numbers, one after the other; the first is met in the middle of its life.

        Ordinary callers keep theirs.
        """
        number = self._new_number(line)
        if line.group.ordinary:
            line.number = number
            return
        number.life_us = self._life_that_is_left(line, number)
        while True:
            line.number = number
            number.dropped = self._env.event()
            end_us = self._now + number.life_us
            if self._now < line.away_us:
                end_us = min(end_us, line.away_us)
            yield self._at(end_us, GOES, line.position) | number.dropped
            line.number = None
            back_us = self._replaced_us(line, number)
            self._be_idle(line, back_us)
            if back_us >= self._days * DAY_US:
                return
            yield self._at(back_us, COMES, line.position)
            number = self._new_number(line)

    def _replaced_us(self, line: Line, number: Number) -> int:
        """Return when a line has another number than the one that dies now; not while it is taken away by a raid."""
        wait_us = number.resupply_us
        for restriction in line.group.restrictions:
            if self._now >= restriction.from_us:
                wait_us = int(wait_us * restriction.slower)
        replaced_us = self._now + wait_us
        return line.back_us if line.away_us <= replaced_us < line.back_us else replaced_us

    def _be_idle(self, line: Line, until_us: int) -> None:
        """Count how long a line has no number on the counted days."""
        first, last = self._first_day * DAY_US, self._days * DAY_US
        idle_us = max(min(until_us, last) - max(self._now, first), 0)
        self._accounts.idle_us[line.fold, line.group.position] += idle_us

    def _new_number(self, line: Line) -> Number:
        group, spec, generation = line.group, line.group.spec, len(line.numbers)
        life, resupply, notice, pick = self._draw(group.numbers, line.index, generation)
        serial = group.serial + line.index + generation * group.serial_step
        number = Number(
            generation,
            group.presents if spec.cli == "fixed" else int(own_number(serial, group.own_kind, group.country_code)),
        )
        if isinstance(spec, LineGroup):
            number.life_us = max(_delay(spec.number_life, life), 1)
            number.notice_us = _delay(spec.notice, notice)
            number.resupply_us = _delay(spec.resupply, resupply)
        number.pick = pick
        self._write(line, group, number, pick)
        line.numbers.append(number)
        return number

    def _write(self, line: Line, group: Group, number: Number, pick: int) -> None:
        """Choose what a line's messages, those of a group, say: one of its campaign's templates."""
        text = group.spec.text
        if text is not None:
            template = pick * text.templates >> 32
            name, score, carries, link = self._draw(stream_id("template"), line.campaign, template)
            number.content = name | 1
            number.link = link | 1 if carries < threshold(text.link_ratio) else 0
            number.text = int((text.mean + text.deviation * normal_quantile(unit(score))) * SCORE_ONE)

    def _life_that_is_left(self, line: Line, number: Number) -> int:
        """Return how long a number still lives when it is met at a random moment.

        Longer lives are met more often, in proportion to their length; a uniform part is over. So by their shares of
        the mean either the minimum was met, and the rest is any, or the random part, which is then length-biased: a
        lognormal of median times e**(sigma**2), or the sum of two exponentials.
        """
        which, _, length, part = self._draw(line.group.lines, line.index, 1)
        assert isinstance(line.group.spec, LineGroup)
        kind, minimum, scale, sigma = line.group.spec.number_life.law
        life = number.life_us
        if unit(which) * (minimum + scale * exp_of(sigma * sigma / 2.0)) >= minimum:
            if kind == DELAY_LOGNORMAL:
                life = delay_us(length, kind, minimum, scale * exp_of(sigma * sigma), sigma)
            elif scale > 0:
                life += int(-log_of(unit(length)) * scale)
        return max(int(life * unit(part)), 1)

    # What becomes of an attempt.

    def _attempt(self, line: Line, ordinal: int, due_us: int, words: Words) -> Process:
        """Make one attempt, if the line has a number then; let the rules decide it, and somebody complain."""
        yield self._at(due_us, ATTEMPT, line.position << 64 | ordinal)
        number = line.number
        line.counts_as, other = line.group, line.group.messages
        if other is not None and self._now < line.moved_until_us:
            line.counts_as, other = other, line.group
        if other is not None:  # what might have been a call is a message, or the other way round
            self._count(line, other, 0, NOT_MADE)
        if number is None or self._holds_back(line, words):
            self._count(line, line.counts_as, 0, NOT_MADE)
            return
        attempt = self._visible(line, number, ordinal, words)
        judgement = self._filter.decide(attempt)
        outcome, complained_us, engaged_us, talk_us = INTERCEPTED, None, None, None
        if judgement.verdict == INTERCEPT:
            self._cut_off(line)
        else:
            fate = self._fate(line, ordinal, labelled=judgement.verdict == LABEL)
            outcome, complained_us, engaged_us, talk_us = fate
        answered, duration_us = talk_us is not None, talk_us or 0
        self._filter.came_of(attempt, answered=answered, duration_us=duration_us)
        self._attempts += 1
        self._count(line, line.counts_as, judgement.reason, outcome)
        self._count_rules(line, judgement.matched)
        if self._recorder and self._recorder.counting:
            attempt = attempt._replace(answered=answered, duration_us=duration_us)
            self._written.append((attempt, judgement, line.position, ordinal, outcome))
        self._react(line, number, attempt, ordinal, outcome)
        if line.group.spec.cli == "own":
            self._notice(line, number, ordinal, outcome, complained_us)
        if engaged_us is not None:
            self._tell(ENGAGED, engaged_us, line, number, ordinal, attempt)

    def _fate(self, line: Line, ordinal: int, *, labelled: bool) -> tuple[int, int | None, int | None, int | None]:
        """Return what becomes of an attempt that passes, when somebody complains of it and falls for it, us of talk."""
        group = line.counts_as
        circuit, end, length, reaction = self._draw(line.group.fates, line.index, ordinal)
        complains, engages = reaction < group.complaint_bound, reaction >= group.engaged_bound
        measured = self._accounts.load[group.position]
        measured[0] += 1
        if group.spec.channel == "sms":
            arrives_us = self._now + self._lag_us[group.position]
            if arrives_us > self._now + group.validity_us:
                return EXPIRED, None, None, None
            if arrives_us > self._days * DAY_US:
                return OPEN, None, None, None
            return DELIVERED, arrives_us if complains else None, arrives_us if engages else None, None
        busy, outcome, talk_us = 0, FAILED, None
        if end >= group.failed_bound:
            outcome = UNANSWERED
            busy = _delay(group.spec.calls.ring, _mixed(end << 32 | length) >> 32)
            if end < (group.labelled_bound if labelled else group.answered_bound):
                outcome = ANSWERED
                talk_us = _delay(group.spec.calls.talk, length)
                busy += talk_us
        measured[1] += busy
        if circuit < self._lost[group.position]:
            return LOST, None, None, None
        self._accounts.held_us[line.fold, group.position] += busy * self._counts
        complained_us = self._now if complains and outcome != FAILED else None
        if self._now + busy > self._days * DAY_US:
            outcome = OPEN
        return outcome, complained_us, self._now if engages and outcome == ANSWERED else None, talk_us

    # How fraudsters react.

    def _holds_back(self, line: Line, words: Words) -> bool:
        """Whether a line that was intercepted lately leaves an attempt out."""
        slow = next((a for a in line.group.adaptations if isinstance(a, SlowDown)), None)
        if slow is None or self._now >= line.slow_until_us:
            return False
        return _mixed(words[1] << 32 | words[2]) >> 32 >= threshold(slow.keep_ratio)

    def _react(self, line: Line, number: Number, attempt: Attempt, ordinal: int, outcome: int) -> None:
        """Let a line do as its adaptations say."""
        number.answers.append(outcome == ANSWERED)
        line.interceptions += outcome == INTERCEPTED
        for adaptation in line.group.adaptations:
            if isinstance(adaptation, MoveToMessages):
                self._move(line, adaptation, outcome)
            elif isinstance(adaptation, RotateNumbers):
                last = number.answers[-adaptation.window :]
                if len(last) == adaptation.window and sum(last) < adaptation.least_answered:
                    self._env.process(self._throw_away(line, number))
            elif outcome != INTERCEPTED:
                continue
            elif isinstance(adaptation, SlowDown):
                line.slow_until_us = self._now + adaptation.lasts
            elif isinstance(adaptation, SpreadEntries):
                line.entry = ENTRIES.index(adaptation.entries[line.interceptions % len(adaptation.entries)])
            elif self._draw(line.group.again, line.index, ordinal)[0] < threshold(adaptation.ratio):
                line.again = attempt.b_number
                self._env.process(self._throw_away(line, number))

    def _move(self, line: Line, adaptation: MoveToMessages, outcome: int) -> None:
        """Let a line send messages for a time, when enough of its calls were intercepted in a row."""
        if line.counts_as is not line.group:
            return
        line.in_a_row = line.in_a_row + 1 if outcome == INTERCEPTED else 0
        if line.in_a_row == adaptation.after:
            line.in_a_row, line.moved_until_us = 0, self._now + adaptation.lasts

    def _throw_away(self, line: Line, number: Number) -> Process:
        """Let a line give up its number a microsecond later."""
        yield self._at(self._now + 1, GOES, line.position)
        if line.number is number and not number.dropped.triggered:
            number.dropped.succeed()

    def _visible(self, line: Line, number: Number, ordinal: int, words: Words) -> Attempt:
        """Return what the rules may see of an attempt."""
        group = line.group
        b_number = int(subscriber_number(index_below(words[1], words[2], self._subscribers), self._world.scale))
        a_number = number.digits
        if group.spec.cli == "random":
            serial = (group.serial + line.index) * group.serial_step + ordinal % group.serial_step
            a_number = int(random_number(serial))
        elif group.spec.cli == "neighbour":
            a_number = int(neighbour_number(b_number, words[3]))
        if isinstance(group.spec, CallerGroup) and words[3] >= threshold(group.spec.stranger_ratio):
            b_number = self._contact(line, words[1])
        if line.again is not None:
            b_number, line.again = line.again, None
        text, shown = 0, line.counts_as.spec.text
        if shown is not None:
            if group.ordinary:  # every message of theirs is another
                self._write(line, group, number, words[3])
            elif not number.content:
                self._write(line, line.counts_as, number, number.pick)
            most = round(shown.jitter * SCORE_ONE)
            text = number.text + (words[3] * (2 * most + 1) >> 32) - most
        return Attempt(
            time_us=self._world.epoch_us + self._now,
            channel=line.counts_as.channel,
            a_number=a_number,
            b_number=b_number,
            a_kind=group.a_kind,
            entry=line.entry,
            b_carrier=self._carriers[_mixed(b_number) >> 56],
            roaming=group.spec.roaming,
            content=number.content if shown else 0,
            text_score=text,
            link=number.link if shown else 0,
            a_incoming=self._incoming(line) if "a_incoming" in self._world.core.needs else 0,
        )

    def _contact(self, line: Line, word: int) -> int:
        """Return one of the people whom an ordinary line knows; few of them are called often."""
        assert isinstance(line.group.spec, CallerGroup)
        which = (word * word >> 32) * line.group.spec.contacts >> 32
        who = _mixed(_mixed(line.group.lines << 32 | line.index) + which)
        index = index_below(who >> 32, who & 0xFFFFFFFF, self._subscribers)
        return int(subscriber_number(index, self._world.scale))

    def _incoming(self, line: Line) -> int:
        """Return how many calls came to the line's number on the day before."""
        word, _, _, _ = self._draw(line.group.incoming, line.index, self._now // DAY_US)
        return int(poisson(word, line.group.spec.incoming_per_day))

    def _cut_off(self, line: Line) -> None:
        """Count the day, if an attempt of an ordinary line is intercepted for the first time on it."""
        if line.group.ordinary and line.cut_off_day != self._day:
            line.cut_off_day = self._day
            self._accounts.cut_off[line.fold, line.group.position] += 1

    def _notice(self, line: Line, number: Number, ordinal: int, outcome: int, complained_us: int | None) -> None:
        """Count a number at its first attempt, and whom it reaches; tell police of the first word about it."""
        group = line.counts_as
        before = line.counted
        if before is not number:
            if before is not None and before.is_watched:
                self._tell(GIVEN_UP, self._now, line, before, ordinal)
            line.counted = number
        if outcome in {DELIVERED, UNANSWERED, ANSWERED}:
            number.reached += 1
            if self._now < number.known_us:
                number.before += 1
                number.talked += outcome == ANSWERED
        self._accounts.bought[line.fold, group.position] += (number.generation - line.bought) * self._counts
        line.bought = number.generation
        if not number.was_presented:
            number.was_presented = True
            self._accounts.numbers[line.fold, group.position] += self._counts
            if self._draw(line.group.police, line.index, number.generation)[1] < group.found_bound:
                number.was_reported = True
                self._tell(FOUND, self._now, line, number, ordinal)
        if complained_us is not None and not number.was_reported:
            number.was_reported = True
            self._accounts.complaints[line.fold, group.position] += self._counts
            self._tell(COMPLAINED, complained_us, line, number, ordinal)

    def _tell(
        self, kind: np.int64, time_us: int, line: Line, number: Number, ordinal: int, attempt: Attempt | None = None
    ) -> None:
        """Give control word of an attempt, where it wants to know."""
        if kind in {ENGAGED, GIVEN_UP} and not self._responds:
            return
        group = line.group
        number.is_watched = number.is_watched or kind != GIVEN_UP
        word = np.zeros(1, WORD)
        word["kind"], word["time_us"], word["ordinal"] = kind, time_us, ordinal
        word["line"], word["generation"], word["index"] = line.position, number.generation, line.index
        word["stream"] = group.people if kind == ENGAGED else group.police
        word["group"], word["fold"], word["cell"] = group.position, line.fold, line.cell
        word["channel"] = line.counts_as.channel
        word["reached"], word["before"], word["talked"] = number.reached, number.before, number.talked
        if attempt is not None:
            word["b_number"], word["entry"] = attempt.b_number, attempt.entry
        self._control.receive(word)

    # What control does to the lines.

    def post_listing(
        self,
        policy_id: str,
        line: NDArray[np.int64],
        generation: NDArray[np.int64],
        from_us: NDArray[np.int64],
        until_us: NDArray[np.int64],
    ) -> None:
        """List numbers for a rule from given times to others, in us from the start of the run."""
        for which, nth, *times in zip(*(a.tolist() for a in (line, generation, from_us, until_us)), strict=True):
            self._env.process(self._list(policy_id, self._lines[which], nth, *times))

    def _list(self, policy_id: str, line: Line, generation: int, from_us: int, until_us: int) -> Process:
        """Put a number on a list when the time has come; its line gives it up when it notices."""
        number = line.numbers[generation]
        yield self._at(from_us, LISTING, line.position)
        epoch_us = self._world.epoch_us
        self._filter.listed[policy_id][number.digits] = epoch_us + from_us, epoch_us + until_us
        yield self._at(from_us + number.notice_us, GOES, line.position)
        if line.number is number and not number.dropped.triggered:
            number.dropped.succeed()

    def post_known(self, line: NDArray[np.int64], generation: NDArray[np.int64], known_us: NDArray[np.int64]) -> None:
        """Say when police hand over numbers: people are counted up to then."""
        for which, nth, time_us in zip(line.tolist(), generation.tolist(), known_us.tolist(), strict=True):
            self._lines[which].numbers[nth].known_us = time_us

    def reached(self, line: NDArray[np.int64], generation: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whom numbers have reached, int64 (n, 3): all, before the hand-over, and talked of those."""
        numbers = [
            self._lines[which].numbers[nth] for which, nth in zip(line.tolist(), generation.tolist(), strict=True)
        ]
        return np.array([(n.reached, n.before, n.talked) for n in numbers], np.int64).reshape(-1, 3)

    def take_measured(self) -> NDArray[np.int64]:
        """Return what came to the network since the last call, int64 (groups, 2), and begin again from zero."""
        measured = self._accounts.load.copy()
        self._accounts.load.fill(0)
        return measured

    def post_network(self, lost: NDArray[np.uint64], lag_us: NDArray[np.int64], from_us: int) -> None:
        """Let calls of each group be lost by draws below `lost`, and messages take `lag_us`, from now on."""
        assert from_us == self._now
        self._lost, self._lag_us = lost.tolist(), lag_us.tolist()

    # What is counted.

    @property
    def _now(self) -> int:
        return int(self._env.now)

    @property
    def _day(self) -> int:
        return self._now // DAY_US - self._first_day

    @property
    def _counts(self) -> bool:
        """Whether the warm-up is over."""
        return self._day >= 0

    def _count(self, line: Line, group: Group, reason: int, outcome: int) -> None:
        if self._counts:
            column = column_of(reason, outcome)
            kind, hub = line.kind, line.elsewhere if self._now >= line.back_us else line.group.spec.hub
            self._daily[self._day, group.cell_of[kind, hub], column] += 1
            self._accounts.folds[line.fold, group.position, column] += 1

    def _count_rules(self, line: Line, matched: int) -> None:
        """Count the rules that matched an attempt, and the one that did so alone."""
        rules = [rule for rule in range(matched.bit_length()) if matched >> rule & 1]
        for rule in rules:
            self._accounts.rules[rule, line.counts_as.position, 0] += self._counts
            self._accounts.rules[rule, line.counts_as.position, 1] += self._counts and len(rules) == 1

    def _midnights(self, progress: Progress | None) -> Process:
        """Begin to count after the warm-up, set down each day's attempts, tell how far it is."""
        for day in range(self._days + 1):
            yield self._at(day * DAY_US, MIDNIGHT)
            self._set_down()
            if day == self._first_day:
                self._control.begin_counting()
                if self._recorder:
                    self._recorder.begin_counting()
            if progress and day:
                progress(day, self._days, self._attempts)

    def _set_down(self) -> None:
        """Hand the attempts written up since the last midnight to the recorder."""
        if self._recorder and self._written:
            attempts, judgements, lines, ordinals, outcomes = zip(*self._written, strict=True)
            self._recorder.add_columns(
                {
                    **{
                        name: np.array(values, COLUMNS[name])
                        for name, values in zip(Attempt._fields, zip(*attempts, strict=True), strict=True)
                    },
                    "line": np.array(lines, np.int64),
                    "ordinal": np.array(ordinals, np.int64),
                    "code": np.array([j.verdict for j in judgements], np.uint8),
                    "reason": np.array([j.reason for j in judgements], np.uint16),
                    "outcome": np.array(outcomes, np.uint8),
                }
            )
            self._recorder.end_day()
            self._written.clear()


def _delay(delay: Delay, word: int) -> int:
    return int(delay_us(word, *delay.law))


def _mixed(number: int) -> int:
    return int(mix64(np.uint64(number & 2**64 - 1)))
