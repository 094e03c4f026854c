"""Values of every dtype come back in it; those that no anomaly hits to the last bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polars_genias as pg
from conftest import FAST

MODEL = {name: FAST[name] for name in ("steps", "channels", "latent", "batch_size")} | {"window": 8}
INTEGERS = [
    getattr(pl, f"{kind}{size}")
    for kind in ("Int", "UInt")
    for size in (8, 16, 32, 64, 128)
    if hasattr(pl, f"{kind}{size}")
]
FLOATS = [getattr(pl, name) for name in ("Float16", "Float32", "Float64") if hasattr(pl, name)]
DECIMALS = [pl.Decimal(38, 6), pl.Decimal(12, 0), pl.Decimal(5, 2)]
DTYPES = [*INTEGERS, *FLOATS, *DECIMALS, pl.Boolean]


def is_integer(dtype: Any) -> bool:
    return dtype in INTEGERS


def bits(values: pl.Series) -> list[Any]:
    """Values that differ wherever their bits do."""
    if values.dtype in FLOATS:
        return [None if v is None else (repr(v), math.copysign(1, v)) for v in values.to_list()]
    return values.to_list()


def counts(rows: int = 200) -> np.ndarray:
    return np.random.default_rng(0).poisson(5, rows)


def inputs() -> dict[str, pl.Series]:
    n = counts()
    return {
        "beyond 2^53": pl.Series(2**53 + 1 + n),
        "largest UInt64": pl.Series(2**64 - 1000 + n.astype("uint64"), dtype=pl.UInt64),
        "long decimals": pl.Series([f"1234567890123456789{v}.123456" for v in n]).cast(
            pl.Decimal(38, 6)
        ),
        "bytes": pl.Series(n, dtype=pl.UInt8),
        "flags": pl.Series(n > 5),
        "floats": pl.Series(n / 7),
        "narrow floats": pl.Series(n / 7, dtype=pl.Float32),
    }


def put(verb: str, frame: pl.DataFrame, **options: Any) -> pl.DataFrame:
    """Anomalies by one of the verbs that put them into rows."""
    if verb == "inject":
        return frame.genias.inject(length=8, **options)
    return frame.genias.generate(strength=3.0, length=8, **MODEL, **options)


def assert_exact(before: pl.Series, after: pl.Series, mask: pl.Series) -> None:
    """The mask says which values differ, and no other does by a bit."""
    assert after.dtype == before.dtype
    for old, new, hit in zip(bits(before), bits(after), mask.fill_null(False), strict=True):
        assert (old != new) == hit


@pytest.mark.parametrize("name", inputs())
@pytest.mark.parametrize("verb", ["generate", "inject"])
def test_values_that_are_not_hit_are_those_of_the_input(verb, name):
    series = inputs()[name]
    out = put(verb, pl.DataFrame({"x": series}), features="x")
    assert_exact(out["x"], out["x_synthetic"], out["x_mask"])
    assert out["x_mask"].any()
    if not series.dtype.is_decimal():
        # Of every anomaly, at least one value differs.
        hit = out.filter("is_anomaly").group_by("anomaly_id").agg(pl.col("x_mask").any())
        assert hit["x_mask"].all()


@pytest.mark.parametrize("name", inputs())
def test_pairs_are_exact(name):
    series = inputs()[name]
    out = pl.DataFrame({"x": series}).genias.pairs(
        features="x", strength=3.0, length=4, window_stride=4, **MODEL
    )
    assert out.schema["normal"] == pl.Array(series.dtype, (8, 1))
    for row in out.iter_rows(named=True):
        normal, anomalous = (np.ravel(row[side]).tolist() for side in ("normal", "anomalous"))
        assert normal == series[row["start"] : row["start"] + 8].to_list()
        assert [a != n for a, n in zip(anomalous, normal, strict=True)] == np.ravel(
            row["mask"]
        ).tolist()
        assert np.any(row["mask"])


@pytest.mark.parametrize("offset", [0.0, 101325.0, 1e8, 1e9])
def test_masked_values_of_pairs_differ(offset):
    rng = np.random.default_rng(0)
    wave = offset + np.sin(np.arange(300) / 4) + 0.1 * rng.standard_normal(300)
    out = pl.DataFrame({"x": wave}).genias.pairs(strength=3.0, length=4, window_stride=4, **MODEL)
    normal, anomalous, mask = (out[c].to_numpy().ravel() for c in ("normal", "anomalous", "mask"))
    assert ((normal != anomalous) == mask).all()
    assert len(np.unique(normal)) == 300


def test_windows_of_several_dtypes_are_float64(series):
    mixed = series.with_columns(n=(100 * pl.col("mem")).cast(pl.Int16))
    out = mixed.genias.pairs(features=["cpu", "n"], window_stride=8, **MODEL)
    assert out.schema["normal"] == pl.Array(pl.Float64, (8, 2))
    first = out.row(0, named=True)
    assert np.ravel(first["normal"]).tolist() == [
        float(value) for row in mixed.head(8).select("cpu", "n").rows() for value in row
    ]
    whole = mixed.select(n="n", m="n").genias.pairs(window_stride=8, **MODEL)
    assert whole.schema["anomalous"] == pl.Array(pl.Int16, (8, 2))


def test_hit_values_are_rounded_into_the_range():
    """Small ranges, so that most anomalies leave them."""
    n = counts(400)
    frame = pl.DataFrame(
        {
            "u8": pl.Series(np.clip(n * 25, 0, 255), dtype=pl.UInt8),
            "dec": pl.Series(n * 90).cast(pl.Decimal(5, 2)),
            "flag": n > 5,
        }
    )
    features = ["u8", "dec", "flag"]
    out = frame.genias.inject(
        features=features,
        kind=["global", "mean"],
        strength=30.0,
        count=9,
        length=4,
        domain="none",
    )
    assert out.schema == out.lazy().collect_schema()
    assert {0, 255} & set(out.filter("u8_mask")["u8_synthetic"])
    assert out["dec_synthetic"].cast(pl.Float64).abs().max() <= 999.99
    for name in features:
        assert_exact(out[name], out[f"{name}_synthetic"], out[f"{name}_mask"])


def test_an_anomaly_that_rounding_would_undo_moves_one_step():
    rare = [int(t % 20 == 0) for t in range(200)]
    frame = pl.DataFrame({"flag": pl.Series(rare) == 1, "n": pl.Series(rare)})
    for name in frame.columns:
        out = frame.select(name).genias.inject(
            features=name, kind="mean", strength=0.01, count=5, length=4
        )
        changed = out.filter("is_anomaly").group_by("anomaly_id").agg(pl.col(f"{name}_mask").sum())
        assert changed[f"{name}_mask"].to_list() == [1] * 5
        assert_exact(out[name], out[f"{name}_synthetic"], out[f"{name}_mask"])


def test_nulls_nan_and_negative_zeros_stay():
    wave = [math.sin(t / 3) for t in range(120)]
    odd = pl.Series([None if t % 50 == 9 else float("nan") if t % 50 == 30 else v
                     for t, v in enumerate(wave)])  # fmt: skip
    out = pl.DataFrame({"x": odd, "z": [-0.0, 1.0] * 60}).genias.generate(**MODEL)
    for name in ("x", "z"):
        same = out.filter(~pl.col(f"{name}_mask").fill_null(False))
        assert bits(same[name]) == bits(same[f"{name}_synthetic"])


def test_unsigned_integers_of_128_bits_beyond_the_signed():
    if not hasattr(pl, "UInt128"):
        pytest.skip("this Polars has no UInt128")
    huge = pl.DataFrame({"x": pl.Series([2**127] * 40, dtype=pl.UInt128)})
    with pytest.raises(pl.exceptions.ComputeError, match=r"column `x` has dtype u128 .*2\^127"):
        huge.genias.inject(length=4)


def values_of(dtype: Any) -> st.SearchStrategy[Any]:
    """Any values of a dtype, but infinite ones."""
    if dtype == pl.Boolean:
        return st.booleans()
    if is_integer(dtype):
        low, high = (pl.select(end).item() for end in (dtype.min(), dtype.max()))
        return st.integers(low, min(high, 2**127 - 1))
    if dtype in FLOATS:
        width = 8 * pl.Series([0.0], dtype=dtype).estimated_size()
        return st.floats(width=int(width), allow_infinity=False)
    most = 10**dtype.precision - 1
    return st.integers(-most, most).map(lambda n: _decimal(n, dtype.scale))


def _decimal(units: int, scale: int) -> str:
    digits = f"{abs(units):0{scale + 1}}"
    whole, part = digits[: len(digits) - scale], digits[len(digits) - scale :]
    return ("-" if units < 0 else "") + whole + (f".{part}" if scale else "")


@st.composite
def columns(draw: st.DrawFn) -> pl.Series:
    """A column of any feature dtype: a few distinct values, some of them missing."""
    dtype = draw(st.sampled_from(DTYPES))
    some = draw(st.lists(st.one_of(st.none(), values_of(dtype)), min_size=1, max_size=9))
    picks = draw(st.lists(st.integers(0, len(some) - 1), min_size=16, max_size=60))
    values = [some[i] for i in picks]
    if isinstance(dtype, pl.Decimal):
        return pl.Series("x", values, dtype=pl.String).cast(dtype)
    return pl.Series("x", values, dtype=dtype)


def check_any_column(column: pl.Series) -> None:
    """No panic, no lost column, no value that changes but where it says so."""
    frame = pl.DataFrame({"beside": range(len(column))}).with_columns(column)
    for verb in ("inject", "generate", "score"):
        try:
            if verb == "score":
                out = frame.genias.score(features="x", detector="amplitude", **MODEL)
                assert out.columns == ["beside", "x", "anomaly_score"]
                assert out["anomaly_score"].is_finite().fill_null(True).all()
                continue
            out = put(verb, frame, features="x")
        except pl.exceptions.ComputeError as error:
            known = ("fit without overlap", "is infinite", "diverged")
            assert any(text in str(error) for text in known), error
            continue
        assert out.select(frame.columns).equals(frame, null_equal=True)
        assert_exact(out["x"], out["x_synthetic"], out["x_mask"])


@settings(max_examples=60, deadline=None)
@given(columns())
def test_any_column(column):
    check_any_column(column)


@pytest.mark.many
@settings(max_examples=2_000, deadline=None)
@given(columns())
def test_two_thousand_columns(column):
    check_any_column(column)


@settings(max_examples=25, deadline=None)
@given(columns())
def test_any_column_over_groups(column):
    frame = pl.DataFrame({"g": [i % 2 for i in range(len(column))]}).with_columns(column)
    query = frame.lazy().with_columns(pg.inject("x", count=1, length=2).over("g").alias("s"))
    try:
        out = query.collect()
    except pl.exceptions.ComputeError as error:
        assert "fit without overlap" in str(error)
        return
    assert out.schema == query.collect_schema()
    struct = out["s"].struct
    assert_exact(column, struct.field("x"), struct.field("x_mask"))
