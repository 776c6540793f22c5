"""House rules that tests can hold: truth is hidden from rules, and the package needs no source tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from interceptsim.attempts import COLUMNS, AttemptBatch, Rows, Truth
from interceptsim.filtering.rowwise import Attempt

ROOT = Path(__file__).parents[1]


def test_no_rule_can_be_handed_the_truth() -> None:
    hidden = set(Truth.__dataclass_fields__) - {"line_id"}
    assert hidden == {"hub", "campaign", "fraud_type", "weight"}
    assert not hidden & set(COLUMNS)
    assert not hidden & set(Rows._fields)
    assert set(AttemptBatch.__dataclass_fields__) == set(COLUMNS) == set(Attempt._fields)
    for source in (ROOT / "src/interceptsim/filtering").glob("*.py"):
        assert "Truth" not in source.read_text("utf-8")


def test_every_module_says_first_what_it_is() -> None:
    for source in (ROOT / "src").rglob("*.py"):
        assert source.read_text("utf-8").startswith('"""'), source


@pytest.mark.slow
def test_the_installed_wheel_runs_china_2025_away_from_the_source(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        check=True,
        cwd=tmp_path,
    )
    [wheel] = tmp_path.glob("*.whl")
    home = tmp_path / "venv"
    venv.create(home, system_site_packages=False, with_pip=False)
    python = home / "bin" / "python"
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", paths, wheel], check=True, cwd=tmp_path
    )
    # the libraries come from this environment, the package itself from the wheel alone
    libraries = Path(next(p for p in sys.path if p.endswith("site-packages")))
    (Path(paths) / "zz-libraries.pth").write_text(f"{libraries}\n")
    code = "import interceptsim, json; print(json.dumps(interceptsim.__file__))"
    where = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert Path(json.loads(where)).is_relative_to(paths)
    command = [python, "-m", "interceptsim", "run", "china-2025", "--scale", "1:100000", "--days", "3", "--json"]
    quick = {**os.environ, "NUMBA_OPT": "0"}  # every kernel is compiled anew there
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=quick)
    assert json.loads(done.stdout)["metrics"]["voice.intercepted"] > 0
