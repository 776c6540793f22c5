"""The response once more, as simply as can be: a SimPy process for each person, hand-over and job.

It has the methods of `plane.Response`, so that control can be given it, and it shares with it the parameters, the keyed
draws and nothing else. It is written after what the documentation of people, police and policies says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from books import CALL, FREEZE, GOLDEN, LN2, LOW, NEVER, VISIT, Books, Number, Other, Person, choice, drawn, mixed
from textbook import HANDED_OVER, PAYS, REACHED, STOPS, Clock, Desk, Job, Process

from interceptsim.ledger import provinces
from interceptsim.randomness import exp_of, index_below, log_of, normal_quantile, stream_id, threshold, unit
from interceptsim.response.police import COMPLAINED, ENGAGED, FOUND, GIVEN_UP
from interceptsim.response.records import WAIT_BINS
from interceptsim.units import DAY_US, HOUR_US, YEAR_DAYS


class NaiveResponse(Books):
    """Everybody's story, told by SimPy; `ledger` collects what happened."""

    def __init__(self, people: Any, police: Any, policies: Any, setting: Any) -> None:
        super().__init__(people, setting)
        self.police = police
        self.policies = {policy.kind: policy for policy in policies}
        self.clock = Clock()
        self.numbers: dict[tuple[int, int], Number] = {}
        self.everybody: list[Person] = []
        self.reports: dict[tuple[int, int], int] = {}
        self.messages = self.calls_at_no_risk = 0
        self.desks = self._open_desks()
        if people.internet > 0:
            self.clock.process(self._internet())

    # Police.

    def learn(self, words: Any) -> tuple[Any, Any, Any]:
        """Take words of attempts; give those by which police know a number sooner, and when, with and without them."""
        known_us, was_us = np.zeros(len(words), np.int64), np.full(len(words), -1)
        for k, word in enumerate(words):
            stream, index, generation = int(word["stream"]), int(word["index"]), int(word["generation"])
            known_us[k] = int(word["time_us"]) + drawn(self.police.delay, self.draw(stream, index, generation)[0])
            kind = int(word["kind"])
            if kind == GIVEN_UP:
                self._give_up(word)
            elif kind == ENGAGED:
                self._is_reached(word)
            elif kind in {COMPLAINED, FOUND}:
                number = self._number(word)
                if not number.handed_over and known_us[k] < number.known_us:
                    was_us[k] = number.known_us
                    self._will_know(number, int(known_us[k]))
        sooner = was_us >= 0
        return words[sooner], known_us[sooner], was_us[sooner]

    def _number(self, word: Any) -> Number:
        line, generation, group = int(word["line"]), int(word["generation"]), int(word["group"])
        kind = [k.id for k in self.people.types].index(self.setting.cell_types[int(word["cell"])])
        stream = int(self.setting.police_streams[group])
        fresh = Number(line, generation, stream, int(word["index"]), group, int(word["fold"]), kind)
        return self.numbers.setdefault((line, generation), fresh)

    def _give_up(self, word: Any) -> None:
        number = self._number(word)
        number.given_up = int(word["reached"]), int(word["before"]), int(word["talked"])
        if number.handed_over:
            self._send(number, int(word["time_us"]), number.given_up[0] - number.given_up[1])

    def _will_know(self, number: Number, known_us: int) -> None:
        number.known_us = known_us
        self.clock.process(self._hand_over(number, known_us))

    def _hand_over(self, number: Number, known_us: int) -> Process:
        """Police hand over a number: those whom it reached before are warned, those it talked to are graded."""
        yield self.clock.at(known_us, HANDED_OVER)
        if number.handed_over or number.known_us != known_us:
            return
        number.handed_over = True
        of = np.array([number.line]), np.array([number.generation])
        total, before, talked = number.given_up or self.reached(*of)[0].tolist()
        self._send(number, known_us, before)
        at_risk = [person for person in number.people if person.engaged]
        for person in at_risk:
            self._warn(person, known_us)
            self._instruct(person, known_us)
        if "warn-12381" in self.policies:
            self.messages -= len(at_risk)
        if "dispatch-by-tier" in self.policies:
            for nth in range(talked - len(at_risk)):
                self._instruct_other(number, nth)
        if number.given_up:
            self._send(number, known_us, total - before)

    # People.

    def _is_reached(self, word: Any) -> None:
        number = self._number(word) if self.setting.police_streams[word["group"]] > 0 else None
        kind = [k.id for k in self.people.types].index(self.setting.cell_types[int(word["cell"])])
        keyed = int(word["stream"]), int(word["index"]), int(word["ordinal"])
        of = int(word["group"]), int(word["fold"])
        person = self._person(*keyed, int(word["time_us"]), int(word["b_number"]), kind, *of, number)
        if person is not None:
            origin = ("voice", "sms")[int(word["channel"])]
            self.clock.process(self._meet(person, origin, overseas=int(word["entry"]) == 0))

    def _person(
        self,
        stream: int,
        entity: int,
        ordinal: int,
        at_us: int,
        called: int,
        kind: int,
        source: int,
        fold: int,
        number: Number | None,
    ) -> Person | None:
        """Somebody who falls for it, as age and type make it so; None where not."""
        word = mixed(called ^ 0xA5A5_5A5A_0F0F_F0F0)
        age = choice(word >> 32, [band.share for band in self.people.age_bands])
        province = choice(word & LOW, [p.population_millions for p in provinces()])
        law = self.people.types[kind]
        falls, grooming, _, loss = self.draw(stream, entity, ordinal << 8)
        if falls >= threshold(law.susceptibility * self.people.age_bands[age].susceptibility):
            return None
        sigma, another = law.loss_sigma, 1.0 - 1.0 / law.transfers
        in_the_mean = law.transfers * (1.0 - another**12)
        median_fen = law.mean_loss_yuan * 100.0 * exp_of(-sigma * sigma / 2.0) / in_the_mean
        each_fen = max(int(median_fen * exp_of(sigma * normal_quantile(unit(loss)))), 1)
        groomed = drawn(law.grooming, grooming)
        return Person(stream, entity, ordinal, at_us, kind, province, age, source, fold, number, each_fen, groomed)

    def _internet(self) -> Process:
        """People meet fraud on the internet, one after another."""
        stream, sources, at = stream_id("internet"), len(self.setting.police_streams), 0
        gap_us = YEAR_DAYS * DAY_US / self.people.internet * self.setting.scale
        nth = 0
        while True:
            yield self.clock.at(at, REACHED)
            w0, w1, w2, w3 = self.draw(stream, 0, nth)
            kind = choice(w1, [k.share for k in self.people.types])
            fold = nth % self.setting.folds
            self.count("met", at, Other(kind, 0, sources, fold))
            who = int(index_below(w2, w3, self.setting.subscribers))
            person = self._person(stream, 1, nth, at, who, kind, sources, fold, None)
            if person is not None:
                self.clock.process(self._meet(person, "internet", overseas=False))
            at, nth = at + int(-log_of(unit(w0)) * gap_us) + 1, nth + 1

    def _meet(self, person: Person, origin: str, *, overseas: bool) -> Process:
        """Somebody is reached, is warned by what knows it already, and falls for it."""
        yield self.clock.at(person.contact_us, REACHED)
        self.count("engaged", person.contact_us, person)
        self.everybody.append(person)
        if person.number is not None:
            person.number.people.append(person)
            if person.number.handed_over:
                self._warn(person, person.contact_us)
                self._instruct(person, person.contact_us)
        tiers = self.policies.get("dispatch-by-tier")
        if origin == "internet" and tiers and self.words(person, 4)[3] < threshold(tiers.internet_ratio):
            self._instruct(person, person.contact_us + drawn(tiers.internet_delay, self.words(person, 5)[0]))
        self._prevent(person, origin, overseas=overseas)
        self.clock.process(self._pay(person))

    def _prevent(self, person: Person, origin: str, *, overseas: bool) -> None:
        """Policies that answer the contact itself: reminders, the app, sites that are gone."""

        def shown(name: str) -> float:
            return (self.words(person, 0, stream_id(name))[0] + 0.5) / 2.0**32

        def heeds(policy: Any, at_us: int, ratio: float) -> None:
            if self.words(person, 0, stream_id(policy.id))[1] < ratio * 2**32:
                self.clock.process(self._stop(person, at_us))

        now = person.contact_us
        remind, app = self.policies.get("remind-overseas-call"), self.policies.get("alert-in-app")
        sites = self.policies.get("take-down-sites")
        local_us = now + self.setting.epoch_us + 8 * HOUR_US
        if remind and overseas and origin == "voice" and np.datetime64(local_us, "us") >= np.datetime64(remind.since):
            if shown(f"{remind.id}/shown") < remind.shown_ratio:
                heeds(remind, now, remind.heed_ratio)
        if app and shown(f"{app.id}/alerted") < app.installed_ratio * app.known_ratio:
            heeds(app, now + app.delay, app.heed_ratio)
        campaign = self.policies.get("raise-awareness")
        if campaign and np.datetime64(local_us, "us") >= np.datetime64(campaign.since):
            days = int((np.datetime64(local_us, "us") - np.datetime64(campaign.since)) // np.timedelta64(1, "D"))
            if shown(f"{campaign.id}/reached") < campaign.reached_ratio:
                heeds(campaign, now, campaign.effect_ratio * exp_of(-LN2 * days * DAY_US / campaign.half_life))
        if sites and origin == "internet" and shown(f"{sites.id}/gone") < sites.gone_ratio:
            heeds(sites, now, 1.0)

    def _stop(self, person: Person, at_us: int) -> Process:
        """Somebody stops by a warning: sees through it at once, or is dissuaded."""
        yield self.clock.at(at_us, STOPS)
        if person.engaged:
            self.count("averted" if at_us == person.contact_us else "dissuaded", at_us, person)
            self._end(person)

    def _pay(self, person: Person) -> Process:
        """Somebody is groomed, doubts or not, and pays one time after another."""
        law, hold = self.people.types[person.kind], self.policies.get("hold-suspicious-transfers")
        at = person.contact_us + person.grooming_us
        for nth in range(12):
            yield self.clock.at(at, PAYS)
            if not person.engaged:
                return
            if nth == 0 and self.words(person, 1)[0] < threshold(law.doubt_ratio):
                self.count("doubted", at, person)
                break
            gap, another, found, asked = self.words(person, 64 + nth)
            if hold and found < threshold(hold.detect_ratio):
                chance = unit(mixed(found << 32 | asked) >> 32)
                self.count("false holds", at, person, int(hold.false_holds + chance))
                if asked < threshold(hold.heed_ratio):
                    self.count("held_fen", at, person, person.each_fen)
                    self.count("dissuaded", at, person)
                    break
            if nth == 0:
                self.count("paid", at, person)
            person.paid_us.append(at)
            self.count("transfers", at, person)
            self.count("transferred_fen", at, person, person.each_fen)
            if another >= threshold(1.0 - 1.0 / law.transfers):
                break
            if nth < 11:
                at += max(drawn(law.gap, gap), 1)
        self._end(person)

    def _end(self, person: Person) -> None:
        """Somebody is done with the fraudster; who has lost money may report it."""
        person.engaged = False
        now = self.clock.now
        if person.paid_us and person.paid_us[0] <= person.warned_us < NEVER:
            self.count("warned late", now, person)
        _, reports, after, _ = self.words(person, 1)
        if person.paid_us and reports < threshold(self.people.report_ratio):
            self.clock.process(self._report(person, now + max(drawn(self.people.report_delay, after), 1)))

    def _report(self, person: Person, at_us: int) -> Process:
        yield self.clock.at(at_us, PAYS)
        self.count("reported", at_us, person)
        number = person.number
        if self.people.reports_feed_lists and number is not None and not number.handed_over:
            known_us = at_us + drawn(self.police.delay, self.words(person, 0, 0x5EED)[0])
            if known_us < number.known_us:
                self.reports.setdefault((number.line, number.generation), number.known_us)
                self._will_know(number, known_us)
        if "freeze-transfers" in self.policies:
            self._order(FREEZE, at_us, person, person.uid, 0)

    # Warnings.

    def _send(self, number: Number, at_us: int, many: int) -> None:
        if "warn-12381" in self.policies:
            self.count("12381 messages", at_us, number, many)
            self.messages += many

    def _warn(self, person: Person, from_us: int) -> None:
        """12381 warns somebody at risk."""
        policy = self.policies.get("warn-12381")
        if policy is None:
            return
        read, heed, late, weary = self.words(person, 2)
        at = max(from_us, person.contact_us) + drawn(policy.delay, late)
        person.warned_us = min(person.warned_us, at)
        self.count("warned", at, person)
        if read >= threshold(policy.read_ratio):
            self.count("unread", at, person)
        elif self.heeds(person, heed, policy.heed_ratio, weary):
            self.clock.process(self._stop(person, at))

    def _tier(self, word: int, prefix: str) -> int:
        policy = self.policies["dispatch-by-tier"]
        shares = [getattr(policy, f"{prefix}{tier}_ratio") for tier in ("high", "medium", "low")]
        ends = np.cumsum(shares)
        return next((k for k in range(3) if word < threshold(min(float(ends[k]), 1.0))), 3)

    def _instruct(self, person: Person, from_us: int) -> None:
        """Police tell desks of somebody at risk, by tiers."""
        policy = self.policies.get("dispatch-by-tier")
        if policy is None:
            return
        graded, late, heed, weary = self.words(person, 3)
        tier = self._tier(graded, "engaged_")
        if tier == 3:
            return
        ready = from_us + drawn(policy.delay, late)
        for what in ("instructed", "instructions", "dispatch messages"):
            self.count(what, ready, person)
        if self.heeds(person, heed, policy.sms_heed_ratio, weary):
            self.clock.process(self._stop(person, ready))
        if tier < 2:
            self._order(CALL, ready, person, person.uid, tier)
        if tier == 0:
            self._order(VISIT, ready, person, person.uid, tier)
            self._suspend(person, ready)

    def _suspend(self, person: Person, ready_us: int) -> None:
        policy = self.policies.get("suspend-subscriber")
        urgent, late, effect, _ = self.words(person, 4)
        if policy is None or urgent >= threshold(policy.urgent_ratio):
            return
        at = ready_us + drawn(policy.delay, late)
        self.count("suspended", at, person)
        if effect < policy.effect_ratio * 2**32:
            self.clock.process(self._stop(person, at))

    def _instruct_other(self, number: Number, nth: int) -> None:
        """Police tell desks of somebody at no risk."""
        policy, salt = self.policies["dispatch-by-tier"], stream_id("dispatch")
        ordinal = number.generation << 24 | nth
        graded, late, where, _ = self.draw(number.stream ^ salt, number.index, ordinal)
        tier = self._tier(graded, "")
        if tier == 3:
            return
        ready = number.known_us + drawn(policy.delay, late)
        self.count("instructions", ready, number)
        self.count("dispatch messages", ready, number)
        province = choice(where, [p.population_millions for p in provinces()])
        whom = Other(number.kind, province, number.group, number.fold)
        uid = mixed(number.stream ^ mixed(number.index ^ mixed(ordinal ^ salt)))
        if tier < 2:
            self._order(CALL, ready, whom, uid, tier)
        if tier == 0:
            self._order(VISIT, ready, whom, uid, tier)

    # Desks.

    def _open_desks(self) -> dict[tuple[int, int], Desk]:
        """One desk that calls, one that freezes, teams by province; at 1:N with one in N of their staff."""
        found = {}
        inhabitants = [p.population_millions for p in provinces()]
        for does, kind, parts, work in (
            (CALL, "call-96110", [1.0], self._call),
            (FREEZE, "freeze-transfers", [1.0], self._freeze),
            (VISIT, "visit-in-person", inhabitants, self._visit),
        ):
            policy = self.policies.get(kind)
            if policy is None:
                continue
            staff = {CALL: "agents", FREEZE: "clerks", VISIT: "teams"}[does]
            for where, part in enumerate(parts):
                of_full_size = getattr(policy, staff) * part / sum(parts)
                servers = max(round(of_full_size / self.setting.scale), 1)
                longer = servers * self.setting.scale / of_full_size
                found[does, where] = Desk(
                    self.clock,
                    servers,
                    policy.opens * HOUR_US,
                    policy.closes * HOUR_US,
                    lambda job, now, does=does, work=work, longer=longer: self._begin(does, work, longer, job, now),
                    lambda job, now, does=does: self._serve(does, job, now, 2),
                    lambda job, now, does=does: self._serve(does, job, now, 0),
                    rank=len(found) if does != FREEZE else 99,
                )
        return found

    def _order(self, does: int, ready_us: int, whom: Any, uid: int, tier: int) -> None:
        policy = self.policies.get(("call-96110", "visit-in-person", "freeze-transfers")[does])
        if policy is not None:
            desk = self.desks[does, whom.province if does == VISIT else 0]
            desk.send(Job(tier, ready_us, uid ^ does, policy.patience, whom=whom))

    def _serve(self, does: int, job: Job, now: int, what: int, amount: int = 1) -> None:
        """Count that a job came, was begun or given up, or how long it waited."""
        day = self.day(now)
        if day is not None:
            self.served[day, does, job.tier, what] += amount

    def _begin(self, does: int, work: Any, longer: float, job: Job, now: int) -> int:
        """Begin a job; tell how long it keeps the agent."""
        waited = now - job.ready_us
        self._serve(does, job, now, 1)
        self._serve(does, job, now, 3, waited)
        if self.day(now) is not None:
            seconds = waited / 1e6
            octaves = int(1 + min(8 * log_of(seconds) / LN2, WAIT_BINS - 2)) if seconds >= 1 else 0
            self.waits[does, job.tier, octaves] += 1
        word = mixed((job.id + job.tries * GOLDEN) % 2**64)
        return int(work(job, now, word & LOW, mixed(word)) * longer)

    def _again(self, does: int, job: Job, ready_us: int) -> None:
        desk = self.desks[does, job.whom.province if does == VISIT else 0]
        desk.send(Job(job.tier, ready_us, job.id, job.patience_us, job.tries + 1, job.whom))

    def _call(self, job: Job, now: int, length: int, word: int) -> int:
        """Call somebody from 96110; who does not take it is called again."""
        policy, whom = self.policies["call-96110"], job.whom
        talk = drawn(policy.talk, length)
        self.count("calls tried", now, whom, at_risk=False)
        if word & LOW >= threshold(policy.reach_ratio):
            if job.tries + 1 < policy.tries:
                self._again(CALL, job, now + policy.redial)
            return talk // 3
        self.count("calls taken", now, whom, at_risk=False)
        if isinstance(whom, Other):
            self.calls_at_no_risk += 1
            return talk
        self.count("called", now, whom)
        if self.heeds(whom, word >> 32, policy.heed_ratio, mixed(word) >> 32):
            self.clock.process(self._stop(whom, now))
        return talk

    def _visit(self, job: Job, now: int, length: int, word: int) -> int:
        """Visit somebody; who falls for it and does not heed it is visited again."""
        policy, whom = self.policies["visit-in-person"], job.whom
        self.count("visits", now, whom, at_risk=False)
        if isinstance(whom, Person):
            if job.tries == 0:
                self.count("visited", now, whom)
            if whom.engaged:
                if self.heeds(whom, word >> 32, policy.heed_ratio, mixed(word) >> 32):
                    self.clock.process(self._stop(whom, now))
                elif job.tries + 1 < policy.visits:
                    self._again(VISIT, job, now + policy.again)
        return drawn(policy.visit, length)

    def _freeze(self, job: Job, now: int, length: int, _: int) -> int:
        """Stop what is left of a victim's transfers along the accounts they went through."""
        policy, whom = self.policies["freeze-transfers"], job.whom
        for nth, paid_us in enumerate(whom.paid_us):
            halved = exp_of(-LN2 * min((now - paid_us) / float(policy.half_life), 60.0))
            if self.words(whom, 96 + nth)[0] < policy.success_ratio * halved * 2**32:
                self.count("stopped_fen", now, whom, whom.each_fen)
                self.count("frozen_fen", now, whom, int(whom.each_fen * policy.frozen_per_traced_transfer_ratio))
                self.count("returned_fen", now, whom, int(whom.each_fen * policy.return_ratio))
        return drawn(policy.work, length)

    # What control asks of it.

    def advance(self, now_us: int, reached: Any) -> dict[tuple[int, int], tuple[int, int]]:
        """Let all happen before a time; give the numbers that victims reported, when known, and when otherwise."""
        self.reached = reached
        self.reports = {}
        self.clock.run_up_to(now_us - 1)
        if now_us % DAY_US == 0:
            warn = self.policies.get("warn-12381")
            false = self.messages * (warn.read_ratio if warn else 0.0) + self.calls_at_no_risk
            left = exp_of(-DAY_US / self.people.memory)
            self.remembered = self.remembered * left + false / self.setting.subscribers
            self.messages = self.calls_at_no_risk = 0
        return {name: (self.numbers[name].known_us, was_us) for name, was_us in self.reports.items()}

    def finish(self, end_us: int, reached: Any) -> int:
        """Count what is still to be sent; tell who is engaged at the end."""
        for number in self.numbers.values():
            if number.handed_over and not number.given_up:
                total, before, _ = reached(np.array([number.line]), np.array([number.generation]))[0].tolist()
                self._send(number, end_us, total - before)
        return sum(person.engaged for person in self.everybody)
