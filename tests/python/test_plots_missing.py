"""Without the extra ``plot`` (or scikit-learn) a message says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("missing", "code", "message"),
    [
        ("altair", "frame.genias.plot()", 'pip install "polars-genias[plot]"'),
        ("altair", "from polars_genias import plots", 'pip install "polars-genias[plot]"'),
        ("altair", "pg.plots", 'pip install "polars-genias[plot]"'),
        ("sklearn", "frame.genias.plot('latent', models=m, method='tsne')", "needs scikit-learn"),
    ],
)
def test_message(missing, code, message):
    if missing == "sklearn":
        pytest.importorskip("altair")
    program = f"""
import sys
sys.modules["{missing}"] = None
import polars as pl
import polars_genias as pg
frame = pl.DataFrame({{"x": [float(i % 7) for i in range(64)]}})
m = frame.genias.fit(window=16, steps=2, latent=2, detector="reconstruction")
{code}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0
    assert "ModuleNotFoundError" in done.stderr
    assert message in done.stderr
