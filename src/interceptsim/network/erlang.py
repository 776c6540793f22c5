"""Erlang's loss formula for any number of circuits, by the same IEEE operations everywhere.

A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges", Elektroteknikeren 13 (1917): calls that come at random to N circuits and are offered as A Erlangs find all
of them busy with probability B = (A**N / N!) / sum over k of A**k / k!, whatever the law of how long they last.
"""

from __future__ import annotations

import numpy as np

from interceptsim.compiled import Scalar, kernel

__all__ = ["erlang_b", "loss_threshold"]

_RAREST = 8589934592.0  # 2**33: one loss in more calls than this is below what a 32-bit draw can show


@kernel
def erlang_b(circuits: Scalar, offered: Scalar) -> float:
    """Return the share of calls (0 to 1) that find none of `circuits` (1 or more) free, at `offered` Erlangs.

    1 / B = 1 + N/A + N(N-1)/A**2 + ..., whose terms are all positive: they grow while N - k exceeds A and vanish soon
    after, so about sqrt(N) are summed near full load and a few dozen away from it. A loss below 2**-33 is 0.
    """
    total = 1.0
    term = 1.0
    if offered <= 0.0:
        return 0.0
    for k in range(circuits):
        term *= (circuits - k) / offered
        if total + term == total:
            break
        total += term
        if total > _RAREST:
            return 0.0
    return 1.0 / total


@kernel
def loss_threshold(loss: Scalar) -> Scalar:
    """Return the 32-bit draws (uint64) below which a call is lost, where `loss` is the share of those that are."""
    return np.uint64(np.floor(loss * 4294967296.0 + 0.5))
