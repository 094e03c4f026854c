"""Every expression verb in every context: the result has the schema that the query promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST, make_hosts

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = {name: FAST[name] for name in ("window", "steps", "channels", "latent", "batch_size")}
VERSION = tuple(int(part) for part in pl.__version__.split(".")[:2])
KEEPS_ROWS = ("expect", "generate", "inject", "label", "reconstruct", "score", "score_features")
CHANGES_ROWS = ("embed", "events", "inject_events", "pairs", "sensitivity", "windows")
VERBS = (*KEEPS_ROWS, *CHANGES_ROWS, "describe", "fit")
COLUMNS: dict[str, Callable[[], pl.Expr]] = {
    "single": lambda: pl.col("cpu"),
    "renamed": lambda: (pl.col("cpu") * 2).alias("twice"),
    "integers": lambda: pl.col("count"),
    "struct": lambda: pl.struct("cpu", "count"),
    "struct of one": lambda: pl.struct("cpu"),
}


def call(verb: str, column: pl.Expr, **order: Any) -> pl.Expr:
    """One verb of a column, with options that are fast."""
    if verb == "windows":
        return column.genias.windows(8, 4, **order)
    if verb == "inject":
        return column.genias.inject(length=4, **order)
    if verb == "inject_events":
        return column.genias.events(of="inject", length=4, **order)
    if verb == "score_features":
        return column.genias.score(detector="amplitude", per_feature=True, **MODEL, **order)
    if verb in ("score", "label"):
        return getattr(column.genias, verb)(detector="amplitude", **MODEL, **order)
    if verb == "sensitivity":
        tried = {"kind": "level-shift", "strength": 4, "duration": 4, "tries": 1}
        return column.genias.sensitivity(detector="amplitude", **tried, **MODEL, **order)
    if verb == "fit":
        return column.genias.fit(detector="amplitude", **MODEL, **order)
    if verb == "describe":
        return call("fit", column, **order).genias.describe()
    return getattr(column.genias, verb)(**MODEL, **order)


def select(frame: pl.LazyFrame, expr: pl.Expr, **_: bool) -> pl.LazyFrame:
    return frame.select(expr.alias("out"))


def with_columns(frame: pl.LazyFrame, expr: pl.Expr, **_: bool) -> pl.LazyFrame:
    return frame.with_columns(expr.alias("out"))


def over(frame: pl.LazyFrame, expr: pl.Expr, *, joins: bool) -> pl.LazyFrame:
    strategy = "join" if joins else "group_to_rows"
    windowed = expr.over("host", order_by="t", mapping_strategy=strategy)
    return frame.with_columns(windowed.alias("out"))


def over_in_when(frame: pl.LazyFrame, expr: pl.Expr, **_: bool) -> pl.LazyFrame:
    windowed = expr.over("host", order_by="t")
    inner = pl.when(pl.col("t") > 20).then(windowed).otherwise(None)
    return frame.with_columns(pl.when(pl.col("t") > 10).then(inner).alias("out"))


def agg(frame: pl.LazyFrame, expr: pl.Expr, **_: bool) -> pl.LazyFrame:
    return frame.group_by("host").agg(expr.alias("out")).sort("host")


def agg_ordered(frame: pl.LazyFrame, expr: pl.Expr, **_: bool) -> pl.LazyFrame:
    return frame.group_by("host", maintain_order=True).agg(expr)


CONTEXTS = (select, with_columns, over, over_in_when, agg, agg_ordered)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    count = (10 * pl.col("mem")).round().cast(pl.Int32).alias("count")
    return make_hosts(hosts=2, rows=60).with_columns(count)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.__name__)
@pytest.mark.parametrize("verb", VERBS)
def test_results_have_the_schema_that_is_promised(frame, verb, context, column):
    if context in (with_columns, over_in_when) and verb in CHANGES_ROWS:
        pytest.skip("as many rows as the frame are needed")
    if VERSION < (1, 31) and context is over and verb in CHANGES_ROWS and column == "renamed":
        pytest.skip(
            "Polars 1.30 promises the wrong dtype for any renamed column, joined over groups"
        )
    joins = verb in CHANGES_ROWS
    orders = ({}, {"order_by": "t"}, {"order_by": ["t", -pl.col("mem")]})
    for order in orders:
        expr = call(verb, COLUMNS[column](), **order)
        query = context(frame.lazy(), expr, joins=joins)
        promised = query.collect_schema()
        results = [query.collect(engine=engine) for engine in ("streaming", "in-memory")]
        eager = context(frame, expr, joins=joins)
        for result in (*results, eager):
            assert result.schema == promised
            assert_every_field_named(result)
            assert not result.is_empty()
        assert_frame_equal(results[0], results[1], check_row_order=False)
        assert_frame_equal(results[1], eager, check_row_order=False)


def assert_every_field_named(result: pl.DataFrame) -> None:
    """No field is called nothing, or by a suffix alone."""

    def check(dtype: pl.DataType) -> None:
        if isinstance(dtype, pl.Struct):
            for field in dtype.fields:
                assert field.name
                assert not field.name.startswith("_"), field.name
                check(field.dtype)
        elif isinstance(dtype, (pl.List, pl.Array)):
            check(dtype.inner)

    for dtype in result.dtypes:
        check(dtype)


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_several_columns_at_a_time(frame, engine):
    """`pl.col("a", "b")` and selectors are one call each."""
    fields = ["cpu", "mem"]
    for columns in (pl.col(fields), pl.selectors.by_dtype(pl.Float64), pl.col("^(cpu|mem)$")):
        expr = columns.genias.generate(**MODEL)
        for query in (
            frame.lazy().select(expr),
            frame.lazy().select(expr.over("host", order_by="t")),
            frame.lazy().group_by("host").agg(expr).select(fields),
        ):
            out = query.collect(engine=engine)
            assert out.schema == query.collect_schema()
            for name in fields:
                struct = out.schema[name]
                struct = struct.inner if isinstance(struct, pl.List) else struct
                assert [field.name for field in struct.fields][::5] == [name, f"{name}_mask"]


def test_over_gives_what_the_frame_verb_gives(frame):
    """Groups one by one, by `.over()`, by aggregation and in one call."""
    options = {**MODEL, "contamination": 0.2}
    expected = frame.genias.generate(features="count", by="host", order_by="t", **options)
    expr = pl.col("count").genias.generate(**options)
    by_over = frame.select(expr.over("host", order_by="t")).unnest("count")
    by_agg = frame.group_by("host", maintain_order=True).agg(expr).explode("count")
    by_agg = by_agg.select("count").unnest("count")
    for found in (by_over, by_agg):
        found = found.rename({"count": "count_synthetic"})
        assert_frame_equal(found, expected.select(found.columns))


def test_errors_name_the_column(frame):
    odd = frame.with_columns(cpu=pl.when(pl.col("t") == 7).then(float("inf")).otherwise("cpu"))
    for engine in ("streaming", "in-memory"):
        query = odd.lazy().with_columns(pg.score("cpu", **MODEL).over("host"))
        with pytest.raises(pl.exceptions.ComputeError, match="column `cpu` is infinite at row 7"):
            query.collect(engine=engine)
