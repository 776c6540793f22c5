"""Compiled kernels: kept on disk as long as nothing that is in them has changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import interceptsim
from interceptsim import compiled
from interceptsim.response.police import WORD


@pytest.mark.slow
def test_a_kernel_is_compiled_again_where_a_helper_or_constant_of_another_module_changed(tmp_path):
    package = tmp_path / "interceptsim"
    package.mkdir()
    for name in ("__init__.py", "compiled.py"):
        shutil.copy(Path(compiled.__file__).parent / name, package / name)
    (package / "words.py").write_text("FACTOR = 3\n")
    (package / "helper.py").write_text(
        "from interceptsim.compiled import kernel\nfrom interceptsim.words import FACTOR\n"
        "@kernel\ndef helped(n):\n    return n * FACTOR\n"
    )
    (package / "outer.py").write_text(
        "from interceptsim import helper\nfrom interceptsim.compiled import kernel\nhelped = helper.helped\n"
        "@kernel\ndef outer(n):\n    return helped(n) + 1\n"
    )
    show = "from interceptsim.outer import outer; print(outer(2), sum(outer.stats.cache_hits.values()))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}

    def shown():
        command = [sys.executable, "-c", show]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert shown() == ["7", "0"]
    assert shown() == ["7", "1"]
    (package / "unrelated.py").write_text("x = 1\n")
    assert shown() == ["7", "1"]
    (package / "words.py").write_text("FACTOR = 5\n")
    assert shown() == ["11", "0"]
    helper = (package / "helper.py").read_text()
    (package / "helper.py").write_text(helper.replace("n * FACTOR", "n - FACTOR"))
    assert shown() == ["-2", "0"]
    assert shown() == ["-2", "1"]


def test_what_a_kernel_depends_on_is_found_through_all_ways_to_import():
    root = Path(interceptsim.__file__).parent
    texts = {path: path.read_text("utf-8") for path in root.rglob("*kernels.py")}
    assert len(texts) >= 4
    for path in texts:
        module = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        assert compiled._stamp(module) != compiled._stamp("interceptsim.errors")
    assert compiled._file("interceptsim.traffic") == root / "traffic" / "__init__.py"
    assert compiled._file("interceptsim.traffic.kernels") == root / "traffic" / "kernels.py"
    assert compiled._file("interceptsim.traffic.kernel") is None


def test_a_kernel_that_would_give_back_an_array_of_its_own_is_refused():
    def made(n):
        return np.zeros(n)

    def refused(n):
        return np.zeros(n)

    assert compiled.allocating_kernel(made)(3).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(numba.core.errors.NumbaError):
        compiled.kernel(refused)(3)


def test_joined_tables_are_the_concatenated_ones():
    random = np.random.default_rng(1)
    tables = [np.frombuffer(random.bytes(n * WORD.itemsize), WORD) for n in (3, 0, 5)]
    for some in (tables, [tables[0][::2], tables[2]], tables[:1]):
        found, wanted = compiled.joined(some), np.concatenate(some)
        assert found.dtype == WORD
        assert all((found[name] == wanted[name]).all() for name in WORD.names)
