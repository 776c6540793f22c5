"""How well columns tell two classes apart: AUC against pairs, fair categories, trees that find what is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptsim.separation import balanced, bins_of, code_auc, shallow_tree, weighted_auc, weighted_quantiles

rows = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5), st.booleans()), min_size=1, max_size=40)


def columns(drawn):
    scores, weights, positive = zip(*drawn, strict=True)
    return np.array(scores), np.array(weights, float), np.array(positive)


@given(rows)
def test_the_auc_is_that_of_all_pairs_by_weight_with_ties_counting_half(drawn):
    pairs = [(w * v, (s > r) + (s == r) / 2) for s, w, fraud in drawn for r, v, other in drawn if fraud and not other]
    total = sum(weight for weight, _ in pairs)
    expected = sum(weight * won for weight, won in pairs) / total if total else 0.5
    assert weighted_auc(*columns(drawn)) == pytest.approx(expected)


@given(rows)
def test_the_auc_does_not_depend_on_how_heavy_a_class_is_or_on_the_scale_of_scores(drawn):
    scores, weights, positive = columns(drawn)
    found = weighted_auc(scores, weights, positive)
    assert weighted_auc(scores * 3.0 - 1, np.where(positive, 7, 0.5) * weights, positive) == pytest.approx(found)
    assert weighted_auc(-scores, weights, positive) == pytest.approx(1 - found)
    assert weighted_auc(scores, balanced(weights, positive), positive) == pytest.approx(found)


@given(rows, st.integers(1, 4))
def test_a_row_of_weight_k_counts_as_k_rows(drawn, k):
    scores, weights, positive = columns([(s, k if n == 0 else 1, p) for n, (s, _, p) in enumerate(drawn)])
    repeated = [column.repeat(weights.astype(int)) for column in (scores, np.ones(len(scores)), positive)]
    assert weighted_auc(scores, weights, positive) == pytest.approx(weighted_auc(*repeated))


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=1, max_size=20), st.floats(0.01, 0.99))
def test_weighted_quantiles_are_those_of_rows_repeated(drawn, share):
    values, weights = np.array(drawn).T
    repeated = np.sort(np.repeat(values, weights))
    least = np.ceil(share * len(repeated) * (1 - 1e-9)).astype(int) - 1
    assert weighted_quantiles(values, weights.astype(float), np.array([share]))[0] == repeated[max(least, 0)]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=400))
def test_bins_are_in_the_order_of_values_and_edges_tell_them_apart(drawn):
    values = np.array(drawn)
    bins, edges = bins_of(values, np.ones(len(values)))
    assert len(edges) < 64
    for k, edge in enumerate(edges):
        assert ((values >= edge) == (bins > k)).all()
    if len(set(drawn)) <= 64:
        assert len(edges) == len(set(drawn)) - 1


def drawn_rows(n=4000, seed=1):
    rng = np.random.default_rng(seed)
    return rng, rng.random(n) + 0.1, rng.random(n) < 0.2, rng.random(n) < 0.5


def test_categories_in_no_order_are_told_apart_where_values_are_not():
    rng, weights, fraud, half = drawn_rows()
    codes = np.where(fraud, rng.choice([1, 3], len(fraud)), rng.choice([0, 2, 4], len(fraud)))
    assert code_auc(codes, weights, fraud, half) > 0.99
    assert abs(weighted_auc(codes, weights, fraud) - 0.5) < 0.05


def test_categories_that_each_row_has_alone_tell_nothing_though_they_could_be_learned_by_heart():
    _, weights, fraud, half = drawn_rows()
    assert code_auc(np.arange(len(fraud)), weights, fraud, half) == 0.5


def test_categories_of_noise_are_not_fitted_to_it():
    rng, weights, fraud, half = drawn_rows()
    assert abs(code_auc(rng.integers(0, 500, len(fraud)), weights, fraud, half) - 0.5) < 0.05


def binned(weights, fraud, **values):
    return {name: bins_of(column, balanced(weights, fraud)) for name, column in values.items()}


def test_a_tree_finds_a_planted_rule_of_two_columns_that_neither_tells_alone():
    rng, weights, fraud, half = drawn_rows()
    x, y, noise = rng.random((3, len(fraud)))
    x[fraud], y[fraud] = x[fraud] / 3 + 0.5, y[fraud] / 2
    tree = shallow_tree(binned(weights, fraud, noise=noise, x=x, y=y), weights, fraud, half)
    assert tree.auc > 0.85
    assert max(weighted_auc(x, weights, fraud), 1 - weighted_auc(y, weights, fraud)) < 0.8
    best = tree.leaves[0]
    assert {part.split()[0] for part in best.rule.split(" and ")} == {"x", "y"}
    assert "noise" not in best.rule
    assert best.positive > 0.9
    assert best.negative < 0.25


def test_the_leaves_of_a_tree_hold_all_rows_of_the_judged_half_and_come_in_the_order_of_their_scores():
    rng, weights, fraud, half = drawn_rows()
    x = rng.random(len(fraud)) + fraud / 2
    leaves = shallow_tree(binned(weights, fraud, x=x), weights, fraud, half).leaves
    assert sum(leaf.positive for leaf in leaves) == pytest.approx(1)
    assert sum(leaf.negative for leaf in leaves) == pytest.approx(1)
    assert [leaf.score for leaf in leaves] == sorted((leaf.score for leaf in leaves), reverse=True)
    under = [weights[~half & fraud & (x >= float(leaf.rule.split()[-1]))].sum() for leaf in leaves[:1]]
    assert leaves[0].positive == pytest.approx(under[0] / weights[~half & fraud].sum(), abs=0.01)


def test_a_tree_over_noise_tells_nothing_in_the_half_that_it_was_not_fitted_to():
    rng, weights, fraud, half = drawn_rows()
    noise = {f"noise {n}": column for n, column in enumerate(rng.random((10, len(fraud))))}
    assert abs(shallow_tree(binned(weights, fraud, **noise), weights, fraud, half).auc - 0.5) < 0.05


def test_a_tree_over_nothing_is_one_leaf():
    _, weights, fraud, half = drawn_rows()
    tree = shallow_tree(binned(weights, fraud, same=np.ones(len(fraud))), weights, fraud, half)
    assert tree.auc == 0.5
    assert [(leaf.rule, leaf.positive, leaf.negative) for leaf in tree.leaves] == [
        ("", pytest.approx(1), pytest.approx(1))
    ]


def test_a_tree_asks_as_many_questions_in_a_row_as_it_may():
    rng, weights, fraud, half = drawn_rows()
    given_columns = binned(weights, fraud, x=rng.random(len(fraud)) + fraud / 2, y=rng.random(len(fraud)))
    for depth in (0, 1, 2):
        assert len(shallow_tree(given_columns, weights, fraud, half, depth).leaves) <= 2**depth
