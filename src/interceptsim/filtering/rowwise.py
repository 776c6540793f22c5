"""The row-by-row twin of every rule: plain Python, slow and obvious, to hold the kernels against.

Each rule is written once more from its description, one attempt at a time, with dictionaries for its state. It
shares nothing with the kernels but the declared policies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from interceptsim.attempts import (
    ALLOW,
    CHANNELS,
    COLUMNS,
    DELIVER,
    ENTRIES,
    INTERCEPT,
    LABEL,
    LOCAL_OFFSET_US,
    SCORE_ONE,
    AttemptBatch,
)
from interceptsim.filtering.outside import MatchExpression, PythonPolicy, blocking
from interceptsim.filtering.policies import (
    AllowListedNumbers,
    LabelSuspected,
    LimitAttempts,
    LimitFanOut,
    RejectListedLinks,
    RejectListedNumbers,
    RejectNumberRanges,
    RejectSpoofedOrigin,
    ScoreReputation,
    ScoreText,
)
from interceptsim.numbering import INTERNATIONAL
from interceptsim.randomness import stream_id, threshold
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US

__all__ = ["Attempt", "Judgement", "RowFilter"]

_MOST_BUCKETED = 2**24 - 1


class Attempt(NamedTuple):
    """The visible columns of one attempt, as in `attempts.AttemptBatch`."""

    time_us: int
    channel: int
    a_number: int
    b_number: int
    a_kind: int
    entry: int
    b_carrier: int
    roaming: bool
    content: int
    text_score: int = 0
    link: int = 0
    a_incoming: int = 0
    answered: bool = False
    duration_us: int = 0


class Judgement(NamedTuple):
    """Verdict (index into VERDICTS), reason, bits of the rules that matched, and score of one attempt."""

    verdict: int
    reason: int
    matched: int
    score: int


class _Symptoms:
    """What earlier rules of the chain said of the attempt at hand: ids of those that matched; the score so far."""

    def __init__(self) -> None:
        self.matched: set[str] = set()
        self.score = 0


Rule = Callable[[Attempt, _Symptoms], int]
"""What a rule says of an attempt: DELIVER where it does not match, else LABEL, INTERCEPT or ALLOW."""


def _mixed(number: int) -> int:
    """Scramble 64 bits as `randomness.mix64` does, in whole numbers of any size."""
    word = 2**64 - 1
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & word
    number = (number ^ number >> 27) * 0x94D049BB133111EB & word
    return number ^ number >> 31


def _allow_listed(policy: AllowListedNumbers) -> Rule:
    numbers = set(policy.listed().tolist())
    return lambda attempt, _: ALLOW if attempt.a_number in numbers else DELIVER


def _reject_spoofed(_policy: RejectSpoofedOrigin) -> Rule:
    gateway = ENTRIES.index("international-gateway")

    def rule(attempt: Attempt, _: _Symptoms) -> int:
        from_abroad = attempt.entry == gateway and not attempt.roaming
        return INTERCEPT if from_abroad and attempt.a_kind != INTERNATIONAL else DELIVER

    return rule


def _reject_ranges(policy: RejectNumberRanges) -> Rule:
    by_prefix = policy.by_prefix()

    def rule(attempt: Attempt, _: _Symptoms) -> int:
        digits = str(attempt.a_number)
        fitting = [prefix for prefix in by_prefix if digits.startswith(prefix)]
        return by_prefix[max(fitting, key=len)] if fitting else DELIVER

    return rule


def _windows(policy: LimitAttempts) -> list[tuple[int, int | None, int | None]]:
    lengths = ((MINUTE_US, policy.per_minute), (HOUR_US, policy.per_hour), (DAY_US, policy.per_day))
    return [(length, limit.warn, limit.critical) for length, limit in lengths if limit is not None]


def _beyond(count: float, warn: float | None, critical: float | None) -> int:
    if critical is not None and count > critical:
        return INTERCEPT
    return LABEL if warn is not None and count > warn else DELIVER


def _limit_attempts(policy: LimitAttempts) -> Rule:
    counts: dict[tuple[int, int, int], int] = {}

    def rule(attempt: Attempt, _: _Symptoms) -> int:
        worst = DELIVER
        for length, warn, critical in _windows(policy):
            key = (attempt.a_number, length, (attempt.time_us + LOCAL_OFFSET_US) // length)
            counts[key] = counts.get(key, 0) + 1
            worst = max(worst, _beyond(counts[key], warn, critical))
        return worst

    return rule


def _limit_buckets(policy: LimitAttempts) -> Rule:
    """Levels are in attempts x microseconds of the window, so that they stay whole."""
    levels: dict[tuple[int, int], tuple[int, int]] = {}

    def rule(attempt: Attempt, _: _Symptoms) -> int:
        worst = DELIVER
        for length, warn, critical in _windows(policy):
            leak = max(critical if critical is not None else warn or 0, 1)
            level, last = levels.get((attempt.a_number, length), (0, attempt.time_us))
            level = max(level - (attempt.time_us - last) * leak, 0)
            level = min(level + length, _MOST_BUCKETED * length // 16)
            levels[attempt.a_number, length] = (level, attempt.time_us)
            in_us = [None if bound is None else bound * length for bound in (warn, critical)]
            worst = max(worst, _beyond(level, *in_us))
        return worst

    return rule


class _FanOut:
    """What one number did in one window."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.bits: set[int] = set()
        self.attempts = self.answered = self.short = 0
        self.last: Attempt | None = None


def _limit_fan_out(policy: LimitFanOut, numbers: dict[int, _FanOut]) -> Rule:
    length = HOUR_US if policy.per == "hour" else DAY_US
    salt, m = stream_id(f"fan-out/{policy.id}"), policy.sketch_bits

    def rule(attempt: Attempt, _: _Symptoms) -> int:
        window = (attempt.time_us + LOCAL_OFFSET_US) // length
        seen = numbers.get(attempt.a_number)
        if seen is None or seen.window != window:
            seen = numbers[attempt.a_number] = _FanOut(window)
        seen.attempts += 1
        said = DELIVER
        if policy.distinct is not None:
            seen.bits.add((_mixed(attempt.b_number ^ salt) >> 32) * m >> 32)
            limits = (policy.distinct.warn, policy.distinct.critical)
            in_bits = [None if d is None else math.floor(m * (1 - math.exp(-d / m))) for d in limits]
            said = _beyond(len(seen.bits), *in_bits)
        out = policy.outgoing_share
        if out is not None and seen.attempts >= out.min_attempts:
            everything = seen.attempts + attempt.a_incoming
            if seen.attempts * SCORE_ONE >= round(out.critical * SCORE_ONE) * everything:
                said = INTERCEPT
        short = policy.short_calls
        if short is not None:
            if seen.last is not None and seen.last.answered:
                seen.answered += 1
                seen.short += seen.last.duration_us < short.shorter_than
            enough = seen.answered >= short.min_answered
            if enough and seen.short * SCORE_ONE >= round(short.critical * SCORE_ONE) * seen.answered:
                said = INTERCEPT
            seen.last = attempt
        return said

    return rule


def _score_text(policy: ScoreText) -> Rule:
    intercept_from = round(policy.threshold * SCORE_ONE)
    label_from = intercept_from if policy.label_from is None else round(policy.label_from * SCORE_ONE)

    def rule(attempt: Attempt, _: _Symptoms) -> int:
        if attempt.text_score >= intercept_from:
            return INTERCEPT
        return LABEL if attempt.text_score >= label_from else DELIVER

    return rule


def _reject_links(policy: RejectListedLinks) -> Rule:
    links = set(policy.listed().tolist())
    return lambda attempt, _: INTERCEPT if attempt.link in links else DELIVER


def _score_reputation(policy: ScoreReputation) -> Rule:
    bounds = [policy.threshold if policy.label_from is None else policy.label_from, policy.threshold]
    label_from, intercept_from = (round(bound * SCORE_ONE) for bound in bounds)
    most = 2**31 - 1

    def rule(attempt: Attempt, symptoms: _Symptoms) -> int:
        total = attempt.text_score * round(policy.text_weight * SCORE_ONE) // SCORE_ONE
        total += sum(round(w * SCORE_ONE) for name, w in policy.weights.items() if name in symptoms.matched)
        total = min(max(total, -most), most)
        symptoms.score = min(max(symptoms.score + total, -most), most)
        if total >= intercept_from:
            return INTERCEPT
        return LABEL if total >= label_from else DELIVER

    return rule


def _label_suspected(policy: LabelSuspected) -> Rule:
    return lambda _, symptoms: LABEL if len(symptoms.matched & set(policy.when)) >= policy.at_least else DELIVER


def _outside(policy: MatchExpression | PythonPolicy) -> Rule:
    def rule(attempt: Attempt, _: _Symptoms) -> int:
        columns = zip(Attempt._fields, attempt, strict=True)
        one = AttemptBatch(**{name: np.array([value], COLUMNS[name]) for name, value in columns})
        return int(policy.says(one)[0])

    return rule


class RowFilter:
    """A chain that decides one attempt at a time, in the order in which it is called.

    `listed` holds, for each fed list, from when and to when (UTC us) a number is on it.
    """

    def __init__(self, policies: Iterable[Any], *, carriers: tuple[str, ...] = ()) -> None:
        self.listed: dict[str, dict[int, tuple[int, int]]] = {}
        self._carriers = carriers
        self._fan_outs: list[dict[int, _FanOut]] = []
        self._chain: list[tuple[Any, Rule]] = [(p, self._rule(p)) for p in blocking(policies) if p.enabled]

    def _rule(self, policy: Any) -> Rule:
        if isinstance(policy, LimitAttempts) and policy.window == "leaky-bucket":
            return _limit_buckets(policy)
        makers: dict[type, Callable[[Any], Rule]] = {
            AllowListedNumbers: _allow_listed,
            RejectListedNumbers: self._reject_listed,
            RejectSpoofedOrigin: _reject_spoofed,
            RejectNumberRanges: _reject_ranges,
            LimitAttempts: _limit_attempts,
            LimitFanOut: self._limit_fan_out,
            ScoreText: _score_text,
            RejectListedLinks: _reject_links,
            ScoreReputation: _score_reputation,
            LabelSuspected: _label_suspected,
            MatchExpression: _outside,
            PythonPolicy: _outside,
        }
        return makers[type(policy)](policy)

    def _limit_fan_out(self, policy: LimitFanOut) -> Rule:
        self._fan_outs.append({})
        return _limit_fan_out(policy, self._fan_outs[-1])

    def came_of(self, attempt: Attempt, *, answered: bool, duration_us: int) -> None:
        """Tell what came of an attempt that was decided without knowing: later ones of its number look back on it."""
        for numbers in self._fan_outs:
            seen = numbers.get(attempt.a_number)
            if seen is not None and seen.last is attempt:
                seen.last = attempt._replace(answered=answered, duration_us=duration_us)

    def _reject_listed(self, policy: RejectListedNumbers) -> Rule:
        always = set(policy.listed().tolist())
        listed = self.listed.setdefault(policy.id, {})
        salt, adopted = stream_id(f"adoption/{policy.id}"), threshold(policy.adoption_ratio)
        users = {self._carriers.index(name) for name in policy.carriers}

        def rule(attempt: Attempt, _: _Symptoms) -> int:
            known = attempt.a_number in always
            if policy.feed == "police" and attempt.a_number in listed:
                begins, ends = listed[attempt.a_number]
                if policy.expires_after is not None:
                    ends = min(ends, begins + policy.expires_after)
                known = known or begins <= attempt.time_us < ends
            if not known or (users and attempt.b_carrier not in users):
                return DELIVER
            return INTERCEPT if _mixed(attempt.b_number ^ salt) >> 32 < adopted else DELIVER

        return rule

    def decide(self, attempt: Attempt) -> Judgement:
        """Return what the chain decides of an attempt; count it in every rule that it passes."""
        best, reason, matched = DELIVER, 0, 0
        symptoms = _Symptoms()
        for k, (policy, rule) in enumerate(self._chain):
            if CHANNELS[attempt.channel] not in policy.channels or ENTRIES[attempt.entry] not in policy.entries:
                continue
            said = rule(attempt, symptoms)
            if said == DELIVER:
                continue
            matched |= 1 << k
            symptoms.matched.add(policy.id)
            action = getattr(policy, "action", "intercept")
            if action == "observe":
                said = DELIVER
            elif action == "label" and said == INTERCEPT:
                said = LABEL
            if said > best:
                best, reason = said, k + 1
        return Judgement(DELIVER if best == ALLOW else best, reason, matched, symptoms.score)
