"""The row-by-row twin of every rule: plain Python, slow and obvious, to hold the kernels against.

Each rule is written once more from its description, one attempt at a time, with a dictionary for its state.
It shares nothing with the kernels but the declared policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from interceptsim.attempts import ALLOW, CHANNELS, DELIVER, ENTRIES, INTERCEPT, LABEL, LOCAL_OFFSET_US, SCORE_ONE
from interceptsim.filtering.policies import (
    AllowListedNumbers,
    LimitAttempts,
    RejectListedNumbers,
    RejectSpoofedOrigin,
    ScoreText,
)
from interceptsim.numbering import INTERNATIONAL, parse_number
from interceptsim.randomness import stream_id, threshold
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US

__all__ = ["Attempt", "RowFilter"]


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
    text_score: int


Rule = Callable[[Attempt], int]
"""What a rule says of an attempt: DELIVER where it does not match, else LABEL, INTERCEPT or ALLOW."""


def _mixed(number: int) -> int:
    """Scramble 64 bits as `randomness.mix64` does, in whole numbers of any size."""
    word = 2**64 - 1
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & word
    number = (number ^ number >> 27) * 0x94D049BB133111EB & word
    return number ^ number >> 31


def _allow_listed(policy: AllowListedNumbers) -> Rule:
    numbers = {parse_number(text)[0] for text in policy.numbers}
    return lambda attempt: ALLOW if attempt.a_number in numbers else DELIVER


def _reject_spoofed(_policy: RejectSpoofedOrigin) -> Rule:
    gateway = ENTRIES.index("international-gateway")

    def rule(attempt: Attempt) -> int:
        from_abroad = attempt.entry == gateway and not attempt.roaming
        return INTERCEPT if from_abroad and attempt.a_kind != INTERNATIONAL else DELIVER

    return rule


def _limit_attempts(policy: LimitAttempts) -> Rule:
    counts: dict[tuple[int, int, int], int] = {}
    windows = ((MINUTE_US, policy.per_minute), (HOUR_US, policy.per_hour), (DAY_US, policy.per_day))

    def rule(attempt: Attempt) -> int:
        worst = DELIVER
        for length, limit in windows:
            if limit is None:
                continue
            key = (attempt.a_number, length, (attempt.time_us + LOCAL_OFFSET_US) // length)
            counts[key] = counts.get(key, 0) + 1
            if limit.critical is not None and counts[key] > limit.critical:
                worst = INTERCEPT
            elif limit.warn is not None and counts[key] > limit.warn:
                worst = max(worst, LABEL)
        return worst

    return rule


def _score_text(policy: ScoreText) -> Rule:
    intercept_from = round(policy.threshold * SCORE_ONE)
    label_from = intercept_from if policy.label_from is None else round(policy.label_from * SCORE_ONE)

    def rule(attempt: Attempt) -> int:
        if attempt.text_score >= intercept_from:
            return INTERCEPT
        return LABEL if attempt.text_score >= label_from else DELIVER

    return rule


class RowFilter:
    """A chain that decides one attempt at a time, in the order in which it is called."""

    def __init__(self, policies: Iterable[Any]) -> None:
        self.listed_from: dict[str, dict[int, int]] = {}
        self._chain: list[tuple[Any, Rule]] = [(p, self._rule(p)) for p in policies if p.enabled]

    def _rule(self, policy: Any) -> Rule:
        makers: dict[type, Callable[[Any], Rule]] = {
            AllowListedNumbers: _allow_listed,
            RejectListedNumbers: self._reject_listed,
            RejectSpoofedOrigin: _reject_spoofed,
            LimitAttempts: _limit_attempts,
            ScoreText: _score_text,
        }
        return makers[type(policy)](policy)

    def _reject_listed(self, policy: RejectListedNumbers) -> Rule:
        always = {parse_number(text)[0] for text in policy.numbers}
        listed_from = self.listed_from.setdefault(policy.id, {})
        salt, adopted = stream_id(f"adoption/{policy.id}"), threshold(policy.adoption_ratio)

        def rule(attempt: Attempt) -> int:
            known = attempt.a_number in always
            if attempt.a_number in listed_from:
                known = known or attempt.time_us >= listed_from[attempt.a_number]
            if known and _mixed(attempt.b_number ^ salt) >> 32 < adopted:
                return INTERCEPT
            return DELIVER

        return rule

    def decide(self, attempt: Attempt) -> tuple[int, int, int]:
        """Return the attempt's verdict (index into VERDICTS), reason and matched bits; count it in every rule."""
        best, reason, matched = DELIVER, 0, 0
        for k, (policy, rule) in enumerate(self._chain):
            if CHANNELS[attempt.channel] not in policy.channels or ENTRIES[attempt.entry] not in policy.entries:
                continue
            said = rule(attempt)
            if said != DELIVER:
                matched |= 1 << k
            if said > best:
                best, reason = said, k + 1
        return (DELIVER if best == ALLOW else best), reason, matched
