"""People: shares become thresholds, and what a type says of transfers and losses holds in the mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import Calls, live, people, police, setting

from interceptsim.response.people import _mean_transfers, age_bounds, province_bounds, susceptibility, type_bounds
from interceptsim.response.plane import Response
from interceptsim.response.records import MEASURES, MOST_TRANSFERS
from interceptsim.units import HOUR_US


def test_thresholds_rise_to_the_whole() -> None:
    for bounds in (age_bounds(people()), province_bounds(), type_bounds(people())):
        assert (np.diff(bounds.astype(np.int64)) > 0).all()
        assert bounds[-1] == 2**32
    assert age_bounds(people()).tolist() == [round(0.6 * 2**32), 2**32]


def test_susceptibility_is_that_of_the_type_times_that_of_the_age() -> None:
    found = susceptibility(people()) / 2**32
    assert found == pytest.approx(np.array([[1.0, 0.5], [0.8, 0.4]]))


@given(st.floats(1, 12))
def test_the_mean_number_of_transfers_is_that_of_a_geometric_law_cut_at_the_twelfth(mean: float) -> None:
    goes_on = 1 - 1 / mean
    exact = sum(goes_on**n for n in range(MOST_TRANSFERS))
    assert _mean_transfers(mean) == pytest.approx(exact)


def test_people_make_so_many_transfers_and_lose_so_much_in_the_mean() -> None:
    """Of a thousand or so who neither doubt nor are warned: within four standard errors."""
    of_one = {**people().model_dump(mode="json")["types"][0], "share": 1, "doubt_ratio": 0, "loss_sigma": 0.8}
    of_one |= {"grooming": "1h", "gap": "1h", "transfers": 3, "mean_loss_yuan": 10_000}
    response = Response(people(types=[of_one], internet="5e5/year"), police("1h"), [], setting(warm_up_days=0))
    tally = live(response, Calls(1, 5, engaged_ratio=0), 5, slice_us=HOUR_US, every_us=HOUR_US)
    found = dict(zip(MEASURES, tally.ledger.tally[:, -1].sum(axis=0).tolist(), strict=True))
    many = found["paid"]
    assert many > 3000
    assert found["transfers"] / many == pytest.approx(_mean_transfers(3), abs=4 * 2.5 / many**0.5 + 0.02)
    # the spread of one loss: lognormal (0.95 of the mean) times the number of transfers (0.8 of it)
    assert found["transferred_fen"] / many / 100 == pytest.approx(10_000, rel=4 * 1.5 / many**0.5 + 0.01)
    assert found["engaged"] == pytest.approx(0.8 * found["met"], rel=4 * 0.5 / many**0.5)
