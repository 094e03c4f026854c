"""The notebooks run from top to bottom, and draw what they show; the outputs of one are a page."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("altair")
pytest.importorskip("sklearn")

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WITH_OUTPUTS = "05_questions"


def read(path: Path):
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks_without_outputs():
    assert len(NOTEBOOKS) == 5
    for path in NOTEBOOKS:
        cells = read(path).cells
        assert cells[0].source.startswith("# ")
        if path.stem == WITH_OUTPUTS:
            continue
        for cell in cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [p for p in NOTEBOOKS if p.stem != WITH_OUTPUTS], ids=lambda path: path.stem
)
def test_notebook_runs(path, tmp_path):
    notebook = read(path)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    drawn = [
        output
        for cell in code
        for output in cell.outputs
        if "vega" in output.get("data", {}).get("text/html", "")
    ]
    assert len(drawn) == sum("genias.plot(" in cell.source for cell in code) + sum(
        "plots.plot_" in cell.source for cell in code
    )


def pages():
    tool = FOLDER.parents[1] / "tools" / "notebook_pages.py"
    spec = importlib.util.spec_from_file_location("notebook_pages", tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_questions_is_that_of_the_notebook():
    tool = pages()
    text, pictures = tool.page(json.loads(tool.NOTEBOOK.read_text(encoding="utf-8")))
    assert tool.PAGE.read_text(encoding="utf-8") == text
    assert len(pictures) == 3
    for name, data in pictures.items():
        assert (tool.PICTURES / name).read_bytes() == data
        assert data.startswith(b"\x89PNG")


@pytest.mark.many  # its code runs in test_documentation.py, too
def test_the_questions_have_answers_of_the_stored_kinds():
    """The same pictures and tables, whose numbers may have changed since."""
    tool = pages()
    stored = read(tool.NOTEBOOK)
    again = tool.executed(read(tool.NOTEBOOK))
    for old, new in zip(stored.cells, again.cells, strict=True):
        kinds = [[kind(output) for output in cell.get("outputs", [])] for cell in (old, new)]
        assert kinds[0] == kinds[1], old.source


def kind(output):
    """What an output shows: a picture, the columns of a table, or text."""
    data = output.get("data", {"text/plain": output.get("text")})
    lines = str(data.get("text/plain", "picture")).splitlines()
    return (
        [name.strip() for name in lines[1].strip("│").split("┆")] if "┌" in lines[0] else len(data)
    )
