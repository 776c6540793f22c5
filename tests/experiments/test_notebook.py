"""A notebook, through a real kernel: an edited policy cell reaches the workers, and the new result is seen."""

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what drives kernels, not of ours
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CELLS = """
import interceptsim as ics
minimal = ics.load("minimal")
LIMIT = 0
---
def mine(batch):
    return batch.channel == LIMIT
---
scenario = minimal.with_policies([*minimal.policies, mine])
found = ics.sweep(scenario, {"police.delay": ["3h", "9h"]}, replications=2, scale=10_000, days=3, workers=2)
delivered = found.estimates.filter(metric="voice.delivered")["value"].to_list()
messages = found.estimates.filter(metric="sms.delivered")["value"].to_list()
print(found.finished, found.failed.height, [v == 0 for v in delivered], [v == 0 for v in messages])
---
print(len(list(found.store.folder.glob("runs/*.parquet"))))
"""


@pytest.fixture
def kernel(tmp_path):
    """Return what runs a cell, given its place and perhaps a new text, and returns what it prints."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in CELLS.split("---")])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():

        def cell(place, text=None):
            if text is not None:
                notebook.cells[place].source = text
            client.execute_cell(notebook.cells[place], place)
            return "".join(output.get("text", "") for output in notebook.cells[place].outputs)

        yield cell


def test_an_edited_policy_cell_gives_a_new_result_and_the_old_one_is_found_again(kernel):
    kernel(0)
    kernel(1)
    first = "4 0 [True, True] [False, False]\n"
    assert kernel(2) == first
    assert kernel(3) == "4\n"
    kernel(1, "def mine(batch):\n    return batch.channel == 1")
    assert kernel(2) == "4 0 [False, False] [True, True]\n"
    assert kernel(3) == "8\n"
    kernel(1, "# as it was, with a remark\n\ndef mine(batch):\n    return batch.channel == LIMIT")
    assert kernel(2) == first
    assert kernel(3) == "8\n"
    kernel(0, "import interceptsim as ics\nminimal = ics.load('minimal')\nLIMIT = 1")
    assert kernel(2) == "4 0 [False, False] [True, True]\n"
    assert kernel(3) == "12\n"


def test_a_failing_policy_cell_is_a_row_with_its_error(kernel):
    kernel(0)
    kernel(1, "def mine(batch):\n    return batch.chanel == 0")
    assert kernel(2) == "0 4 [] []\n"
    told = kernel(3, "print(*set(found.failed['error']))")
    assert told == "AttributeError: 'AttemptBatch' object has no attribute 'chanel' (in mine)\n"
