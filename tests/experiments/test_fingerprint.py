"""Fingerprints: the same for the same content in every process, others for any other content."""

import enum
import functools
import os
import re
import subprocess
import sys
import textwrap
import threading
from typing import Annotated, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from interceptsim.errors import ConfigurationError
from interceptsim.experiments import fingerprint as module
from interceptsim.experiments.fingerprint import fingerprint, is_own, package_fingerprint

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(plain)
def test_the_same_plain_value_has_one_fingerprint(value):
    assert fingerprint(value) == fingerprint(value)
    assert fingerprint([value]) != fingerprint(value)


@given(st.lists(st.lists(st.text(max_size=3) | st.integers(0, 99), max_size=3), max_size=4, unique_by=repr))
def test_values_that_differ_have_fingerprints_that_differ(values):
    assert len({fingerprint(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", 1),
        (b"a", "a"),
        ([1], (1,)),
        (["ab", "c"], ["a", "bc"]),
        ([[1], 2], [1, [2]]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.zeros(4, "f4"), np.zeros(2, "f8")),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array(["a", None], object), np.array(["a", 0], object)),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})),
        (pl.col("a") + 1, pl.col("a") + 2),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (np.sin, np.cos),
        (len, max),
        ([].append, {}.get),
    ],
    ids=lambda thing: re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing)),
)
def test_things_that_look_alike_are_told_apart(one, other):
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_the_order_of_a_set_is_not_its_content():
    assert fingerprint({"a", "b", "c"}) == fingerprint({"c", "b", "a"}) != fingerprint({"a", "b"})


def made(text, **names):
    """Run a piece of code as a notebook would, and return what it defines as f."""
    space = {"__name__": "__main__", **names}
    exec(compile(textwrap.dedent(text), f"cell-{id(text)}.py", "exec"), space)
    return space["f"]


BASE = "def f(b):\n    return b.x > 1"


@pytest.mark.parametrize(
    "edited",
    [
        "def f(b):\n    return b.x > 2",
        "def f(b):\n    return b.x < 1",
        "def f(b):\n    return b.y > 1",
        "def f(b, c=1):\n    return b.x > 1",
        "def f(b):\n    try:\n        return b.x > 1\n    except ValueError:\n        return b.x",
        "import functools\n@functools.cache\ndef f(b):\n    return b.x > 1",
        "class f:\n    pass",
    ],
)
def test_any_edit_of_a_function_changes_its_fingerprint(edited):
    assert fingerprint(made(edited)) != fingerprint(made(BASE))


def test_where_a_function_was_written_is_not_its_content():
    assert fingerprint(made(BASE)) == fingerprint(made("\n\n# a remark\n\n" + BASE))


def test_what_a_function_reads_from_outside_is_its_content():
    reading = "def f(b):\n    return [x for x in b if x > LIMIT or g(x)]"
    helpers = {name: made(text) for name, text in {"one": "def f(x): return x", "two": "def f(x): return -x"}.items()}
    assert fingerprint(made(reading, LIMIT=1, g=helpers["one"])) != fingerprint(
        made(reading, LIMIT=2, g=helpers["one"])
    )
    assert fingerprint(made(reading, LIMIT=1, g=helpers["one"])) != fingerprint(
        made(reading, LIMIT=1, g=helpers["two"])
    )
    same = made(reading, LIMIT=1, g=helpers["one"], x=5, unrelated=threading.Lock())
    assert fingerprint(same) == fingerprint(made(reading, LIMIT=1, g=helpers["one"]))


def test_what_a_function_closes_over_and_its_defaults_are_its_content():
    closing = "def outer(n):\n    def f(b):\n        return b.x > n\n    return f\nf = outer({})"
    assert fingerprint(made(closing.format(1))) != fingerprint(made(closing.format(2)))
    default = "def f(b, *, n={}):\n    return b.x > n"
    assert fingerprint(made(default.format(1))) != fingerprint(made(default.format(2)))


def test_a_function_behind_a_cache_is_looked_into():
    cached = "import functools\n@functools.cache\ndef g(x):\n    return x > {}\ndef f(b):\n    return g(b)"
    assert fingerprint(made(cached.format(1))) != fingerprint(made(cached.format(2)))


def test_a_function_that_calls_itself_has_a_fingerprint():
    assert fingerprint(made("def f(n):\n    return n and f(n - 1)")) != fingerprint(made("def f(n):\n    return n"))


class Policy(BaseModel):
    kind: Literal["mine"] = "mine"
    limit: Annotated[int, Field(ge=1)] = 2
    chosen: set[str] = set()

    def compile(self, builder):
        builder.outside(lambda batch: batch.x > self.limit)


def test_a_model_is_its_class_and_its_values_however_it_was_written():
    assert fingerprint(Policy()) == fingerprint(Policy(limit=2)) != fingerprint(Policy(limit=3))
    assert fingerprint(Policy(chosen={"a", "b"})) == fingerprint(Policy(chosen={"b", "a"})) != fingerprint(Policy())


def test_an_edited_class_has_another_fingerprint():
    text = (
        "from pydantic import BaseModel\n"
        "class C(BaseModel):\n"
        "    n: int = {}\n"
        "    def says(self, b):\n"
        "        return {}\n"
        "f = C()"
    )
    versions = [made(text.format(*values)) for values in ((1, 1), (1, 2), (2, 1))]
    assert len({fingerprint(type(version)) for version in versions}) == 3
    assert fingerprint(versions[0]) == fingerprint(made(text.format(1, 1)))


def test_an_imported_module_of_the_users_is_its_text(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for n in (1, 2):
        (tmp_path / f"helper{n}.py").write_text(f"def g(b):\n    return {n}\n")
        found.append(fingerprint(made(f"import helper{n} as h\ndef f(b):\n    return h.g(b)")))
    assert len(set(found)) == 2


def test_libraries_are_not_the_users_own():
    assert is_own("__main__")
    assert is_own(__name__)
    assert not any(
        is_own(name) for name in ("numpy.linalg", "polars", "json", "sys", "interceptsim.errors", "pydantic")
    )


def test_what_has_no_content_is_refused():
    with pytest.raises(ConfigurationError, match=r"got 'lock'; holds what has no content that can be told"):
        fingerprint([threading.Lock()])


def test_what_is_nested_without_end_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigurationError, match="is nested too deep"):
        fingerprint(deep)


def test_fingerprints_are_the_same_in_every_process(tmp_path):
    (tmp_path / "told.py").write_text(
        textwrap.dedent(
            """
            import enum, numpy as np, polars as pl
            from interceptsim.experiments.fingerprint import fingerprint, package_fingerprint
            class Kind(enum.Enum):
                A = 1
            LIMIT = {"a": {"q", "w", "e", "r"}}
            def f(b, k=frozenset({"a", "b", "cc"})):
                return b.x in {"one", "two", "three"} and LIMIT and Kind.A and np.isin(b, [1]) and f
            print(fingerprint([f, Kind.A, pl.DataFrame({"a": [1.5]}), np.arange(3)]), package_fingerprint())
            """
        )
    )
    told = set()
    for seed in ("0", "1", "2"):
        command = [sys.executable, tmp_path / "told.py"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        told.add(done.stdout)
    assert len(told) == 1


def test_the_package_is_its_files_and_the_versions_of_its_libraries(tmp_path, monkeypatch):
    before = package_fingerprint.__wrapped__()
    assert before == package_fingerprint()
    with monkeypatch.context() as patched:
        patched.setattr(module, "version", lambda name: "0")
        assert package_fingerprint.__wrapped__() != before
    copy = tmp_path / "interceptsim" / "experiments"
    copy.mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(copy / "fingerprint.py"))
    found = []
    for text in ("", "x = 1", "x = 2"):
        (copy.parent / "model.py").write_text(text)
        found.append(package_fingerprint.__wrapped__())
    assert len({before, *found}) == 4


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def test_members_of_an_enumeration_are_told_apart():
    assert fingerprint(Colour.RED) != fingerprint(Colour.BLUE)
