"""What a user writes; mypy and pyright have to know every type here, and object to what is marked.

``tests/python/test_typing.py`` checks this file; nothing runs it.
"""

import polars as pl
from typing_extensions import assert_type

import polars_genias as pg
from polars_genias import GeniasDataFrame, GeniasExpr, GeniasLazyFrame

eager = pl.DataFrame({"host": ["a"], "cpu": [1.0]})
lazy = pl.scan_parquet("metrics/", hive_partitioning=True)
column = pl.col("cpu")

assert_type(eager.genias, GeniasDataFrame)
assert_type(lazy.genias, GeniasLazyFrame)
assert_type(column.genias, GeniasExpr)

# Every verb of a frame gives a frame of its kind.
assert_type(eager.genias.fit(by="host", steps=100), pl.DataFrame)
assert_type(eager.genias.generate(by="host", strength=(1, 3)), pl.DataFrame)
assert_type(eager.genias.inject(kind=["trend", "mean"], count=2), pl.DataFrame)
assert_type(eager.genias.pairs(window=16), pl.DataFrame)
assert_type(eager.genias.score(detector="carla"), pl.DataFrame)
assert_type(eager.genias.label(threshold="pot"), pl.DataFrame)
assert_type(lazy.genias.fit(by="host", order_by="timestamp"), pl.LazyFrame)
assert_type(lazy.genias.generate(models="models.parquet", by="host"), pl.LazyFrame)
assert_type(lazy.genias.inject(kind="trend"), pl.LazyFrame)
assert_type(lazy.genias.pairs(window=16), pl.LazyFrame)
assert_type(lazy.genias.score(models=eager, features={"cpu": "cpu_synthetic"}), pl.LazyFrame)
assert_type(lazy.genias.label(threshold=3.5), pl.LazyFrame)

# Every verb of a column gives an expression.
assert_type(column.genias.windows(16, 4), pl.Expr)
assert_type(column.genias.fit(steps=100), pl.Expr)
assert_type(column.genias.generate(model="model", order_by="timestamp"), pl.Expr)
assert_type(column.genias.inject(kind="trend"), pl.Expr)
assert_type(column.genias.pairs(window=16), pl.Expr)
assert_type(column.genias.score(aggregate="max").over("host", order_by="timestamp"), pl.Expr)
assert_type(column.genias.label(), pl.Expr)
assert_type(column.genias.reconstruct(), pl.Expr)
assert_type(column.genias.embed(), pl.Expr)
assert_type(pl.col("model").genias.describe().struct.field("psi"), pl.Expr)

# Types go on through Polars' own methods.
assert_type(lazy.filter(column > 0).genias.score().collect(), pl.DataFrame)
assert_type(eager.lazy().genias.score().genias.label(), pl.LazyFrame)
assert_type(eager.pipe(pg.score, by="host"), pl.DataFrame)
assert_type(pg.score(lazy), pl.LazyFrame)
assert_type(pg.score("cpu"), pl.Expr)

eager.genias.fit(stepz=100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
eager.genias.fit(steps="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
lazy.genias.score(detector="best")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
column.genias.score(by="host")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
lazy.genias.windows(16)  # type: ignore[attr-defined]  # pyright: ignore
lazy.geniass  # type: ignore[attr-defined]  # pyright: ignore # noqa: B018
