"""What the recipes for schedulers share: one night of `genias nightly`, and its alarms.

Set ``GENIAS_DATA`` to the folder that has ``metrics/``; labels and models are written beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

OPTIONS = ["--by", "host", "--order-by", "timestamp", "--alarms-per-day", "0.1"]
"""Options of `genias nightly`."""


def data() -> Path:
    """Return the folder of the metrics, labels and models."""
    return Path(os.environ.get("GENIAS_DATA", "."))


def label() -> dict[str, Any]:
    """Label the partitions that have no labels yet, and return the summary of the command.

    Raises
    ------
    RuntimeError
        If the command fails, with the last line that it wrote.
    """
    folders = [str(data() / name) for name in ("metrics", "labelled", "models.parquet")]
    command = [sys.executable, "-m", "polars_genias", "nightly", *folders, *OPTIONS, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return json.loads(done.stdout)


def alarmed(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the series with alarms."""
    return [series for series in summary["series"] if series["alarms"]]
