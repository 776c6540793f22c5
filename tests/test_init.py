"""The public names: each is there, comes from its own module, and is loaded only when it is used."""

import importlib
import subprocess
import sys

import pytest

import interceptsim as ics


def test_the_public_names_are_those_that_have_a_home():
    assert ics.__all__ == sorted(ics._HOMES)
    assert len(set(ics.__all__)) == len(ics.__all__)


@pytest.mark.parametrize("name", ics.__all__)
def test_a_public_name_is_what_its_module_calls_by_that_name(name):
    home = importlib.import_module(f"interceptsim.{ics._HOMES[name]}")
    found = getattr(ics, name)
    assert found is getattr(home, name)
    assert found.__module__ == home.__name__
    assert name in home.__all__


def test_what_users_are_shown_first_is_public():
    assert {"load", "run", "open_run", "compile_filter", "AttemptBatch", "InterceptSimError"} <= set(ics.__all__)


def test_dir_lists_the_public_names():
    assert dir(ics) == ics.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'interceptsim' has no attribute 'lode'"):
        ics.lode  # noqa: B018  the look-up is the test
    assert not hasattr(ics, "lode")


def test_all_names_may_be_imported_at_once():
    namespace = {}
    exec("from interceptsim import *", namespace)
    assert set(ics.__all__) <= set(namespace)


def test_the_package_itself_loads_nothing_heavy():
    code = (
        "import sys, interceptsim\n"
        "heavy = {'click', 'numba', 'numpy', 'polars', 'pydantic', 'rich', 'simpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "print(sorted(name for name in sys.modules if name.startswith('interceptsim')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n['interceptsim']\n"
