"""Run the notebook of questions, keep its outputs, and write ``docs/questions.md`` from it.

``python tools/notebook_pages.py`` runs ``examples/notebooks/05_questions.ipynb`` and stores its
outputs, with charts as PNG; ``--page`` only writes the page from the stored outputs.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "notebooks" / "05_questions.ipynb"
PAGE = ROOT / "docs" / "questions.md"
PICTURES = ROOT / "docs" / "img"
AS_PNG = """import altair as alt
import polars as pl

alt.renderers.enable("png", scale_factor=1.3)
pl.Config.set_tbl_hide_dataframe_shape(True)
pl.Config.set_tbl_hide_column_data_types(True)
pl.Config.set_tbl_rows(12)
pl.Config.set_fmt_str_lengths(90)
pl.Config.set_tbl_width_chars(110)
pl.Config.set_fmt_table_cell_list_len(4)
pl.Config.set_float_precision(2)
"""
"""Run before the first cell: how outputs are stored."""


def executed(notebook: Any) -> Any:
    """Return the notebook with new outputs."""
    import nbclient
    import nbformat

    notebook.cells.insert(0, nbformat.v4.new_code_cell(AS_PNG))
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    del notebook.cells[0]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, 1):
        cell.execution_count = number
        cell.metadata = {}
        cell.outputs = [tidied(output, number) for output in cell.outputs]
    return notebook


def tidied(output: Any, number: int) -> Any:
    """Return an output with one picture or one text, and nothing of the run."""
    if "data" in output:
        output.execution_count = number
        output.metadata = {}
        keep = "image/png" if "image/png" in output.data else "text/plain"
        output.data = {keep: output.data[keep]}
    return output


def page(notebook: Any) -> tuple[str, dict[str, bytes]]:
    """Return the notebook as Markdown, and its pictures by name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                name = f"question_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                titles = [line for line in parts if line.startswith("## ")]
                title = titles[-1].partition("\n")[0].lstrip("# ")
                parts.append(f"![Chart that answers: {title}](img/{name})")
            else:
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def main() -> None:
    """Run the notebook, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="from the stored outputs")
    if not parser.parse_args().page:
        import nbformat

        notebook = executed(nbformat.read(NOTEBOOK, as_version=4))
        notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
        nbformat.write(notebook, NOTEBOOK)
    text, pictures = page(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    PAGE.write_text(text, encoding="utf-8")
    for name, data in pictures.items():
        (PICTURES / name).write_bytes(data)


if __name__ == "__main__":
    main()
