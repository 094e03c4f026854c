"""Draw the pictures of README and ``docs/plots.md`` as SVG, in a light and a dark version.

``python tools/doc_pictures.py`` runs the Python blocks of these pages, and writes the chart of a
block (its variable ``chart`` or ``picture``) under the names of the pictures that follow it. Needs
the extra ``plot``.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars_genias import plots

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "plots.md")
WIDTH = 560
"""Pixels of a panel: legible where the picture is scaled to the width of a phone."""
_PARTS = re.compile(r"^```python\n(.*?)^```|\]\(((?:docs/)?img/[\w-]+\.svg)#", re.DOTALL | re.M)


def charts(page: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the pictures of a page, and the chart of each."""
    scope: dict[str, Any] = {}
    drawn = None
    text = page.read_text(encoding="utf-8")
    if page.name == "README.md":  # only its first block needs no files
        text = text[: text.index("Anomalies that are learned")]
    for block, picture in _PARTS.findall(text):
        if block:
            exec(block, scope)  # noqa: S102 # blocks of our own pages
            drawn = scope.get("chart", scope.get("picture"))
        elif drawn is not None:
            yield page.parent / picture, drawn


def narrow(chart: Any) -> Any:
    """Return a chart of stacked panels with narrower ones."""
    if not isinstance(chart, plots.Panels):
        return chart
    spec = chart.to_dict()
    for panel in _panels(spec):
        panel["width"] = WIDTH
    return plots.Panels(**spec)


def _panels(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in spec.get("vconcat", []):
        yield from _panels(part)
        if "width" in part:
            yield part


def main() -> None:
    """Write the pictures."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for page in PAGES:
            for path, chart in charts(page):
                dark = path.stem.endswith("-dark")
                plots.save(narrow(chart), path, theme="dark" if dark else "light")
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
        os.chdir(home)


if __name__ == "__main__":
    main()
