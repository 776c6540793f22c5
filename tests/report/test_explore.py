"""The page of levers, served as users serve it: choose, move, run, see what changes, take it along."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from looking import WIDTHS, chromium, faults, page_in

from interceptsim.scenario_files import load

pytestmark = pytest.mark.browser

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "explore.py"
LOADED_S = 60
RUN_MS = 120_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Serve the page on loopback, and give where."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["run", str(NOTEBOOK), "--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("served") / "log"
    with log.open("wb") as told:
        served = subprocess.Popen([sys.executable, "-m", "marimo", "-q", *command], stdout=told, stderr=told)
    at = f"http://127.0.0.1:{port}"
    until = time.monotonic() + LOADED_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{at}/health", timeout=1):  # noqa: S310  our own
            break
        assert served.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < until, log.read_text("utf-8")
        time.sleep(0.1)
    yield at
    served.terminate()
    served.wait(10)


@pytest.mark.parametrize("width", WIDTHS)
def test_levers_are_moved_run_seen_and_taken_along(address, tmp_path, width):
    local = (address, address.replace("http", "ws"), "data:", "blob:")
    with chromium() as browser, page_in(browser, width, of=local) as (page, wrong):
        page.goto(address)
        page.get_by_text("Nothing has been run yet").wait_for(timeout=1000 * LOADED_S)
        page.get_by_label("scenario").select_option("minimal")
        page.get_by_label("list is out after").select_option("2d")
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Take it along").wait_for(timeout=RUN_MS)
        page.locator("svg.marks").nth(1).wait_for(timeout=RUN_MS)
        assert page.get_by_role("heading", name="more fraud calls get through").is_visible()
        assert faults(page) == {}
        with page.expect_download() as taken:
            page.get_by_text("levers.toml", exact=True).last.click()
        taken.value.save_as(tmp_path / "levers.toml")
        assert wrong == []
    wanted = load("minimal").replace({"policies.reject-listed-numbers.delay": "2d"})
    assert load(tmp_path / "levers.toml").policies == wanted.policies
