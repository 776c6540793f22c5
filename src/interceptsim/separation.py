"""How well columns tell two classes of rows apart: weighted AUC, codes in the order of their shares, a shallow tree.

Takes NumPy arrays with one entry a row: `positive` (bool) says of which of two classes a row is, `weights` (float64,
not negative) how many rows of its own class it stands for, relative to others of that class. Only proportions within
a class matter: no result depends on how rare a class is. `half` (bool) cuts the rows in two where something is fitted
to one part and judged by the other; rows that belong together have to lie in the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Leaf", "Tree", "balanced", "bins_of", "code_auc", "shallow_tree", "weighted_auc", "weighted_quantiles"]

_BINS = 64
_LEAST_ROWS = 20


def weighted_auc(scores: NDArray[Any], weights: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive row scores above another, ties counting half, rows picked by weight.

    It is 0.5 where a class has no weight: there is nothing to tell apart.
    """
    _, rank = np.unique(scores, return_inverse=True)
    above, below = np.bincount(rank, weights * positive), np.bincount(rank, weights * ~positive)
    pairs = above.sum() * below.sum()
    return float(above @ (np.cumsum(below) - below / 2) / pairs) if pairs > 0 else 0.5


def code_auc(
    codes: NDArray[np.intp], weights: NDArray[np.float64], positive: NDArray[np.bool_], half: NDArray[np.bool_]
) -> float:
    """Return the AUC of categories, ordered by their share of positives in one half and judged in the other.

    `codes` are small whole numbers from 0. It is the mean over both ways round. A code that the fitted half lacks
    stands in the middle.
    """
    many = int(codes.max(initial=0)) + 1
    found = []
    for fitted in (half, ~half):
        shares, prior = [], 0.0
        for there in (fitted & positive, fitted & ~positive):
            heavy = np.bincount(codes[there], weights[there], many)
            shares.append(heavy / (heavy.sum() or 1.0))
            prior = max(prior, 1.0 / (1 + there.sum()))  # as heavy as a row: rare codes stand near the middle
        score = (shares[0] + prior) / (shares[0] + shares[1] + 2 * prior)
        counts = [
            np.bincount(codes[there], weights[there], many) for there in (~fitted & positive, ~fitted & ~positive)
        ]
        which = np.repeat([True, False], many)
        found.append(weighted_auc(np.tile(score, 2), np.concatenate(counts), which))
    return sum(found) / 2


def weighted_quantiles(values: NDArray[Any], weights: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[Any]:
    """Return the least values up to which lie such shares of the weight; there is at least one row."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    index = np.searchsorted(reached, at * reached[-1] * (1 - 1e-12))
    return values[order][np.minimum(index, len(values) - 1)]


def balanced(weights: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights that sum to 1 in each class."""
    sums = [weights[~positive].sum() or 1.0, weights[positive].sum() or 1.0]
    return weights / np.where(positive, sums[1], sums[0])


def bins_of(values: NDArray[Any], weights: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return each row's bin, from 0, and the lower edges of all bins but the first.

    A bin is a value where there are at most 64 different ones, else a part of the range that holds an equal share of
    the weight.
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    edges = ranked[1:][ranked[1:] != ranked[:-1]]
    if len(edges) >= _BINS:
        reached = np.cumsum(weights[order])
        at = np.searchsorted(reached, np.arange(1, _BINS) / _BINS * reached[-1])
        edges = np.unique(ranked[np.minimum(at, len(ranked) - 1)])
        edges = edges[edges > ranked[0]]
    bins = np.empty(len(values), np.intp)
    bins[order] = np.searchsorted(edges, ranked, side="right")
    return bins, edges


@dataclass(frozen=True)
class Leaf:
    """A rule that a tree found: conditions that hold together.

    `positive` and `negative` are the shares of each class that fall under it, in the half that was not fitted, `score`
    the share of positives in the half that was, both classes being equally heavy.
    """

    rule: str
    score: float
    positive: float
    negative: float


@dataclass(frozen=True)
class Tree:
    """A decision tree: its AUC in the half that it was not fitted to, its leaves from the most positive down."""

    auc: float
    leaves: tuple[Leaf, ...]


_Path = dict[tuple[str, str], Any]


def shallow_tree(
    binned: Mapping[str, tuple[NDArray[np.intp], NDArray[Any]]],
    weights: NDArray[np.float64],
    positive: NDArray[np.bool_],
    half: NDArray[np.bool_],
    depth: int = 3,
) -> Tree:
    """Grow a tree of at most `depth` questions in a row on the rows of `half`, and judge it by the others.

    `binned` holds what `bins_of` makes of each column. Each question parts the rows where that lessens the Gini
    impurity most, both classes being equally heavy; no part has fewer than 20 rows.
    """
    fitted, judged = np.where(half, balanced(weights * half, positive), 0), balanced(weights * ~half, positive)
    scores = np.zeros(len(half))
    leaves = []
    for path, rows in _leaves(binned, fitted, positive, np.arange(len(half)), {}, depth):
        there = positive[rows]
        share = _share(float(fitted[rows] @ there), float(fitted[rows] @ ~there))
        scores[rows] = share
        rule = " and ".join(f"{name} {sign} {_shown(edge)}" for (name, sign), edge in path.items())
        leaves.append(Leaf(rule, share, float(judged[rows] @ there), float(judged[rows] @ ~there)))
    leaves.sort(key=lambda leaf: -leaf.score)
    return Tree(weighted_auc(scores[~half], weights[~half], positive[~half]), tuple(leaves))


def _leaves(
    binned: Mapping[str, tuple[NDArray[np.intp], NDArray[Any]]],
    heavy: NDArray[np.float64],
    positive: NDArray[np.bool_],
    rows: NDArray[np.intp],
    path: _Path,
    depth: int,
) -> Iterator[tuple[_Path, NDArray[np.intp]]]:
    """Yield the leaves below some rows: the conditions that lead there, the rows under them."""
    question = _best_question(binned, heavy, positive, rows) if depth else None
    if question is None:
        yield path, rows
        return
    name, last = question
    bins, edges = binned[name]
    low = bins[rows] <= last
    for sign, chosen in (("<", low), (">=", ~low)):
        deeper = {**path, (name, sign): edges[last]}  # a later question of the same kind is the narrower one
        yield from _leaves(binned, heavy, positive, rows[chosen], deeper, depth - 1)


def _best_question(
    binned: Mapping[str, tuple[NDArray[np.intp], NDArray[Any]]],
    heavy: NDArray[np.float64],
    positive: NDArray[np.bool_],
    rows: NDArray[np.intp],
) -> tuple[str, int] | None:
    """Return the column and the last bin of the lower part that lessen impurity most, or None where none does."""
    rows = rows[heavy[rows] > 0]
    weight, there = heavy[rows], positive[rows]
    best, least_gain = None, 1e-9
    for name, (bins, edges) in binned.items():
        counts = [np.bincount(bins[rows], w, len(edges) + 1) for w in (weight * there, weight * ~there, weight > 0)]
        reached = [np.cumsum(count)[:-1] for count in counts]
        whole = [count.sum() for count in counts]
        rest = [total - low for total, low in zip(whole, reached, strict=True)]
        gain = _impurity(*whole[:2]) - _impurity(*reached[:2]) - _impurity(*rest[:2])
        gain[(reached[2] < _LEAST_ROWS) | (rest[2] < _LEAST_ROWS)] = 0.0
        if len(gain) and gain.max() > least_gain:
            best, least_gain = (name, int(gain.argmax())), float(gain.max())
    return best


def _impurity(p: Any, n: Any) -> Any:
    """Return the Gini impurity of a part with such weights of both classes, times its weight, halved."""
    return p * n / np.maximum(p + n, 1e-300)


def _share(p: float, n: float) -> float:
    """Return the share of p, a half where there is neither."""
    return p / (p + n) if p + n > 0 else 0.5


def _shown(edge: Any) -> str:
    """Write a threshold: whole numbers in full."""
    return str(edge) if isinstance(edge, np.integer) else f"{edge:.4g}"
