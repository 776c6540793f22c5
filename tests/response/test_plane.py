"""The whole response beside a plain SimPy program of it, and laws that it has to keep."""

from __future__ import annotations

from random import Random

import pytest
from parts import Both, Calls, live, own_people, own_policies, police, setting

from interceptsim.units import MINUTE_US

DAYS = 6  # one of them the warm-up


def both(seed: int, *, ties: bool = False, slice_us: int = 30 * MINUTE_US, every_us: int = 30 * MINUTE_US) -> None:
    r = Random(f"{seed}/{ties}")
    people, policies = own_people(r, ties=ties), own_policies(r, ties=ties)
    asked = Both(people, police("1h"), policies, setting(scale=r.choice([1, 1, 3])))
    live(asked, Calls(seed, DAYS, ties=ties), DAYS, slice_us=slice_us, every_us=every_us)


@pytest.mark.parametrize("seed", range(30))
def test_the_response_is_that_of_a_plain_simpy_program(seed: int) -> None:
    both(seed)


@pytest.mark.parametrize("seed", range(30))
def test_it_is_so_where_much_happens_at_one_microsecond(seed: int) -> None:
    both(seed, ties=True)
