"""What models show of themselves."""

from __future__ import annotations

import pickle

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST

pytestmark = pytest.mark.once

AT = {"by": "host", "order_by": "t", "label": "known"}


@pytest.fixture
def models(hosts):
    return hosts.genias.fit(**AT, **FAST)


def test_a_model_in_one_line(models):
    one = pg.Model(models["model"][0])
    about = models.genias.describe().row(0, named=True)
    warned = len(about["health"])
    words = f", {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    assert repr(one) == f"<GenIAS model: 2 features, window 16, detector evidence{words}>"
    assert one.features == ["cpu", "mem"]
    assert one.health() == about["health"]
    assert one.describe()["psi"] == about["psi"]
    page = one._repr_html_()
    assert "<td>window</td><td>16</td>" in page
    assert page.startswith("<table>")


def test_a_model_is_its_bytes(models, hosts, tmp_path):
    data = models["model"][1]
    path = tmp_path / "one.genias"
    path.write_bytes(data)
    rows = hosts.filter(host="h1").drop("host")
    expected = rows.genias.score(models=data, order_by="t")
    for given in (data, path, models.filter(host="h1")):
        model = pg.Model(given)
        assert model == data
        assert_frame_equal(rows.genias.score(models=model, order_by="t"), expected)
    assert pickle.loads(pickle.dumps(model)) == data
    with pytest.raises(ValueError, match="3 models for one series"):
        pg.Model(models)


def test_a_table_of_models(models, tmp_path):
    path = tmp_path / "models.parquet"
    models.write_parquet(path)
    for given in (models, models.lazy(), path):
        shown = pg.Models(given)
        assert [line[:30] for line in repr(shown).splitlines()] == [
            f"h{i}: <GenIAS model: 2 features," for i in range(3)
        ]
        assert list(shown) == ["h0", "h1", "h2"]
        assert len(shown) == 3
        assert shown["h2"] == models["model"][2]
        assert_frame_equal(shown.table, models)
        assert_frame_equal(shown.describe(), models.genias.describe())
        assert shown._repr_html_().count("<tr>") == 4
    with pytest.raises(KeyError, match=r"no model of 'h9'; there are \['h0'"):
        shown["h9"]


def test_keys_are_text_and_missing_models_have_words(models):
    odd = models.head(2).with_columns(
        host=pl.Series(["<b>", "x"]),
        rack=pl.Series([1, 2]),
        model=pl.when(pl.col("host") == "h0").then("model"),
    )
    shown = pg.Models(odd.select("host", "rack", "model"))
    assert repr(shown).splitlines()[1] == "x, 2: <no GenIAS model>"
    assert list(shown) == [("<b>", 1), ("x", 2)]
    assert "&lt;b&gt;, 1" in shown._repr_html_()
    assert "<b>" not in shown._repr_html_()
    assert repr(pg.Models(odd.clear())) == "<no GenIAS model>"
