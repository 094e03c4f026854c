"""The frame verbs on PySpark DataFrames: a worker runs Polars on every series.

Install ``polars-genias[spark]`` on the driver and on the workers. The same data, options and seed
give the same values, and the same bytes of models, as the verbs on a Polars frame.

Rows are unordered in Spark, so `order_by` is required and must be unique within a series, and the
rows of a result are unordered, too. Planning reads no rows, except for `fit` with `share` or
`warm`: options, columns and types are checked when a verb is called, values when Spark runs it.
Input columns keep their Spark types. In new columns, ``Array`` and ``List`` become ``ArrayType``,
and unsigned integers become the next larger signed type: ``anomaly_id`` is ``LongType``.

Workers use one thread unless ``POLARS_MAX_THREADS`` is set for them (``spark.executorEnv.*``).

Examples
--------
A table of models. Write it if it is used more than once: Spark fits again for every action.

>>> import polars_genias.spark as gs
>>> waves = spark.range(128).selectExpr("id % 2 host", "id t", "sin(id / 3) cpu")
>>> at = {"by": "host", "order_by": "t"}
>>> quick = {"window": 16, "steps": 4}
>>> models = gs.fit(waves, detector="amplitude", **at, **quick)
>>> models
DataFrame[host: bigint, model: binary]
>>> gs.describe(models).select("model.window", "model.stop_reason").first()
Row(window=16, stop_reason='steps')

Scores and labels:

>>> gs.score(waves, models=models, **at)
DataFrame[host: bigint, t: bigint, cpu: double, anomaly_score: float]
>>> gs.label(waves, models=models, threshold=1e9, **at).where("anomaly_label").count()
0
>>> gs.alarms(waves, models=models, **at).count()
0
>>> tried = gs.sensitivity(waves, models=models, kind="level-shift", strength=8, tries=2, **at)
>>> tried.select("feature", "kind", "strength").first()
Row(feature='cpu', kind='level-shift', strength=8.0)
>>> gs.explain(waves, models=models, detector="amplitude", quantile=0.99, **at).columns[:5]
['host', 'id', 'start', 'length', 'peak']
>>> gs.expect(waves, window=16, **at).columns[3:]
['cpu_expected', 'cpu_lower', 'cpu_upper']
>>> gs.reconstruct(waves, models=models, **at).columns
['host', 't', 'cpu', 'cpu_expected']

Anomalies:

>>> gs.generate(waves, models=models, **at).columns[3:]
['cpu_synthetic', 'is_anomaly', 'anomaly_id', 'anomaly_kind', 'anomaly_strength', 'cpu_mask']
>>> trends = {"kind": "trend", "count": 1, "length": 20}
>>> gs.inject(waves, **at, **trends).where("is_anomaly").count()
40
>>> gs.events(waves, of="inject", **at, **trends).select("length", "kind").first()
Row(length=20, kind='trend')
>>> gs.events(waves, models=models, count=1, length=8, **at).select("length", "features").first()
Row(length=8, features=['cpu'])
>>> wave = waves.where("host = 0")
>>> pairs = gs.pairs(wave, order_by="t", features="cpu", window_stride=8, **quick)
>>> sorted(row.start for row in pairs.select("start").collect())
[0, 8, 16, 24, 32, 40, 48]
"""

from __future__ import annotations

import inspect
import pickle
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Union

import polars as pl
from pyspark.sql import types as spark_types

from polars_genias import _frames as frames
from polars_genias import verbs
from polars_genias._models import (
    BACKBONE,
    COUNT,
    MODEL,
    companion,
    model_column,
    model_value,
    ordered_starts,
    started,
)
from polars_genias._names import refuse_twice
from polars_genias._spark_fleet import trained
from polars_genias._spark_types import arrow_type, from_spark, in_utc, spark_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa
    from pyspark.sql import DataFrame, GroupedData

    from polars_genias._spark_fleet import Step
    from polars_genias._types import Features, Keys

    Models = Union[DataFrame, bytes, None]

__all__ = [
    "alarms",
    "describe",
    "events",
    "expect",
    "explain",
    "fit",
    "generate",
    "inject",
    "label",
    "pairs",
    "reconstruct",
    "score",
    "sensitivity",
]

Options = ParamSpec("Options")

_OF_VERB = ("models", "name", "strict")
"""Arguments of `fit` that are no options."""
_COLUMN = "c"
_LARGE = "spark.sql.execution.arrow.useLargeVarTypes"


def _per(
    verb: Callable[Concatenate[pl.DataFrame, Options], pl.DataFrame],
) -> Callable[Concatenate[DataFrame, Options], DataFrame]:
    """A verb on Spark DataFrames from a verb on Polars frames."""

    def of_spark(data: DataFrame, /, *args: Options.args, **given: Options.kwargs) -> DataFrame:
        plan: Any = _per_series  # its arguments are common to all verbs
        planned: DataFrame = plan(verb.__name__, data, *args, **given)
        return planned

    of_spark.__name__ = of_spark.__qualname__ = verb.__name__
    of_spark.__doc__ = _documentation(verb)
    of_spark.__signature__ = _signature(verb)  # type: ignore[attr-defined]
    return of_spark


def _signature(verb: Callable[..., Any]) -> inspect.Signature:
    """The signature of a frame verb with a required `order_by`."""
    signature = inspect.signature(verb)
    arguments = {name: of for name, of in signature.parameters.items() if name != "model"}
    arguments["order_by"] = arguments["order_by"].replace(default=inspect.Parameter.empty)
    return signature.replace(parameters=list(arguments.values()))


def _documentation(verb: Callable[..., Any]) -> str:
    """The docstring of a verb, with the differences in Spark and its options."""
    text = inspect.getdoc(verb) or ""
    about, _, rest = text.partition("Parameters\n----------\n")
    options = rest.partition("Other Parameters\n")[2].partition("Examples\n--------\n")[0]
    return f"{about}{_DIFFERS.format(verb.__name__)}\nOther Parameters\n{options}".rstrip() + "\n"


_DIFFERS = """\
Runs `polars_genias.{0}` on every series: the arguments, options and values are the same.

Parameters
----------
data
    The rows.
order_by
    Columns for the time order of a series, unique within it. Required.
models
    A DataFrame with the columns `by` and a binary column, or the bytes of one model. A model is
    sent once per series, not once per row.
**arguments
    As in `polars_genias.{0}`; `where` is the name of a column.

Returns
-------
DataFrame
    As from `polars_genias.{0}`, unordered; unsigned integers become longs.
"""

alarms = _per(verbs.alarms)
events = _per(verbs.events)
expect = _per(verbs.expect)
explain = _per(verbs.explain)
fit = _per(verbs.fit)
generate = _per(verbs.generate)
inject = _per(verbs.inject)
label = _per(verbs.label)
pairs = _per(verbs.pairs)
reconstruct = _per(verbs.reconstruct)
score = _per(verbs.score)
sensitivity = _per(verbs.sensitivity)


def describe(models: DataFrame, name: str = "model") -> DataFrame:
    """Describe a column of models.

    Parameters
    ----------
    models
        A table of models from `fit`.
    name
        The column of models.

    Returns
    -------
    DataFrame
        The same table with a struct instead of each model: see `polars_genias.describe`.

    Examples
    --------
    >>> import polars_genias.spark as gs
    >>> wave = spark.range(64).selectExpr("id t", "sin(id / 3) cpu")
    >>> model = gs.fit(wave, order_by="t", window=16, steps=4, detector="amplitude")
    >>> gs.describe(model).select("model.window", "model.stop_reason").first()
    Row(window=16, stop_reason='steps')
    """
    if name not in models.columns or models.schema[name].dataType.simpleString() != "binary":
        msg = f"parameter `name` = {name!r}: no such column of models; there are {models.columns}"
        raise ValueError(msg)
    planned = pl.LazyFrame(schema={name: pl.Binary}).select(verbs.describe(name)).collect_schema()
    columns = dict(planned)
    fields = [
        spark_field(name, columns[name]) if field.name == name else field
        for field in models.schema.fields
    ]

    work = _Describe(name, _Crossing(columns, _large(models)))
    return models.mapInArrow(_for_batches(work), spark_types.StructType(fields))


def _shipped(work: _Describe | _Work) -> Callable[..., Any]:
    """`work.run` as a function for Spark workers.

    Spark runs a task per core, and every task would start a thread per core. Polars reads the
    number of threads on import; so this function carries bytes and does not refer to this module,
    which a worker would otherwise import first.
    """
    shipped = pickle.dumps(work)

    def run(*of: Any) -> Any:
        import os
        import pickle

        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        return pickle.loads(shipped).run(*of)  # noqa: S301 # our own bytes

    return run


def _for_batches(work: _Describe) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """`work` on every batch of a task."""
    run = _shipped(work)

    def of_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from map(run, batches)

    return of_batches


def _for_series(work: _Work) -> tuple[Callable[..., pa.Table], Callable[..., pa.Table]]:
    """`work` on a series, and on a series and its models: Spark counts the arguments."""
    run = _shipped(work)

    def beside(rows: pa.Table, models: pa.Table) -> pa.Table:
        return run(rows, models)

    def alone(rows: pa.Table) -> pa.Table:
        return run(rows, None)

    return alone, beside


@dataclass(frozen=True)
class _Describe:
    """`describe` for workers."""

    name: str
    crossing: _Crossing

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Describes a batch of a table of models. Runs on a worker."""
        batch = in_utc(batch)
        beside = f"{self.name}{BACKBONE}"
        known = [name for name in (self.name, beside) if name in batch.schema.names]
        models = _polars(batch.select(known))
        value = model_value(models, self.name)
        about = models.select(verbs.describe(value).alias(self.name))
        at = batch.schema.get_field_index(self.name)
        column = self.crossing(about)[self.name].combine_chunks()
        return batch.set_column(at, self.name, column)


@dataclass(frozen=True)
class _Crossing:
    """Conversion of a result's new columns from Polars to Spark."""

    columns: dict[str, pl.DataType]
    large: bool
    """Whether Spark expects strings and binary values with 64-bit offsets."""

    def __call__(self, frame: pl.DataFrame) -> pa.Table:
        import pyarrow as pa

        types = [(name, arrow_type(dtype, self.large)) for name, dtype in self.columns.items()]
        table = frame[list(self.columns)].to_arrow(compat_level=pl.CompatLevel.oldest())
        return table.cast(pa.schema(types))


@dataclass(frozen=True)
class _Work:
    """One verb for workers: fully resolved, and independent of Spark."""

    verb: str
    options: dict[str, Any]
    features: dict[str, str]
    by: list[str]
    order_by: list[str]
    label: str | None
    where: str | None
    crossing: _Crossing
    keeps_rows: bool
    """Whether the result has the rows and the columns of the input."""
    columns: list[str]
    """Names of the columns, which are numbered in Spark."""
    model_columns: list[str]
    backbones: list[bytes] | None = None
    """The backbones that new models start from, if these are known."""
    step: Step | None = None
    """A step in the training of backbones, instead of the verb itself."""

    def run(self, table: pa.Table, models: pa.Table | None) -> pa.Table:
        """Runs the verb on the rows of one series. Runs on a worker."""
        import pyarrow as pa

        table = in_utc(_named(table, self.columns))
        models = None if models is None else _named(models, self.model_columns)
        roles = [
            *self.by,
            *self.order_by,
            *filter(None, [self.label, self.where]),
            *self.features.values(),
        ]
        frame = _polars(table.select(list(dict.fromkeys(roles))))
        self._refuse_ties(frame)
        if self.step is not None:
            at = frames.inputs(frame, self.features, self.by, self.order_by, self.label)
            return self.crossing(self.step.run(at, self.options))
        result: pl.DataFrame = getattr(verbs, self.verb)(
            frame,
            features=self.features,
            by=self.by or None,
            order_by=self.order_by,
            label=self.label,
            **({} if self.where is None else {"where": self.where}),
            **self._options(models),
        )
        new = self.crossing(result)
        if not self.keeps_rows:
            table = table.select(self.by).take(pa.array([0] * new.num_rows, pa.int64()))
            if not self.by:
                return new
        for name in new.column_names:
            table = table.append_column(name, new[name])
        return table

    def _options(self, models: pa.Table | None) -> dict[str, Any]:
        """The options, with the models of the series or the backbones of all."""
        if models is not None:
            return {**self.options, "models": _polars(models)}
        if self.backbones is None:
            return self.options
        warm = bool(self.backbones) or self.options.get("share") != "fleet"
        return {**self.options, "warm": warm, "models": started(self.backbones) if warm else None}

    def _refuse_ties(self, frame: pl.DataFrame) -> None:
        """Rejects rows of equal time: Spark returns them in any order, so results would vary."""
        keys = frame[self.by + self.order_by]
        twice = keys.is_duplicated()
        if twice.any():
            row = keys.row(twice.arg_max() or 0, named=True)
            msg = (
                f"parameter `order_by` = {self.order_by}: more than one row at {row}, and Spark "
                "keeps no order among them; add a column that tells them apart"
            )
            raise ValueError(msg)


def _per_series(
    verb: str,
    data: DataFrame,
    *,
    order_by: Keys,
    models: Models = None,
    features: Features | None = None,
    by: Keys | None = None,
    label: str | None = None,
    where: str | None = None,
    **given: Any,
) -> DataFrame:
    """Plans `verb`: all checks that need no rows, then one call per series."""
    if not order_by:
        msg = f"parameter `order_by` = {order_by!r}: rows are unordered in Spark, name columns"
        raise ValueError(msg)
    _refuse_what_needs_all(where, given)
    empty = pl.LazyFrame(schema=_schema(data))
    at = frames.inputs(empty, features, by, order_by, label, where=where)
    table: Any = None
    in_its_place: dict[str, Any] = {}
    if isinstance(models, bytes):
        given["models"] = models
    elif models is not None:
        table, in_its_place = models, {"models": pl.LazyFrame(schema=_schema(models))}
    roles = {"features": at.features, "by": by, "order_by": order_by, "label": label}
    if where is not None:
        in_its_place["where"] = where
    planned: pl.LazyFrame = getattr(verbs, verb)(empty, **roles, **given, **in_its_place)
    keeps_rows = verb not in frames.TABLES
    kept = list(at.schema) if keeps_rows else at.by
    columns = {n: dtype for n, dtype in planned.collect_schema().items() if n not in kept}
    fields = [data.schema[name] for name in kept]
    schema = spark_types.StructType([*fields, *(spark_field(n, d) for n, d in columns.items())])
    work = _Work(
        verb=verb,
        options=given,
        features=at.features,
        by=at.by,
        order_by=at.order_by,
        label=label,
        where=where,
        crossing=_Crossing(columns, _large(data)),
        keeps_rows=keeps_rows,
        columns=data.columns,
        model_columns=[] if table is None else table.columns,
    )
    new = models is None and given.get("share") == "fleet"
    if verb == "fit" and (new or given.get("warm")):
        work, table = replace(work, backbones=_backbones(work, data, models)), None
    alone, beside = _for_series(work)
    rows = _grouped(data, at.by)
    if table is None:
        return rows.applyInArrow(alone, schema)
    return rows.cogroup(_grouped(table, at.by)).applyInArrow(beside, schema)


def _backbones(work: _Work, data: DataFrame, models: Models) -> list[bytes]:
    """The backbones that models of all series start from: given ones, and those of a fleet."""
    given = [] if models is None else _starts(models)
    if work.options.get("share") != "fleet":
        return given

    def run(step: Step) -> pl.DataFrame:
        crossing = _Crossing(step.columns, work.crossing.large)
        schema = spark_types.StructType([spark_field(n, d) for n, d in step.columns.items()])
        options = {name: of for name, of in work.options.items() if name not in _OF_VERB}
        of_step = replace(work, step=step, crossing=crossing, options=options)
        alone, _ = _for_series(of_step)
        found = _polars(_grouped(data, work.by).applyInArrow(alone, schema).toArrow())
        return found.cast(pl.Schema(step.columns))

    return trained(run, given)


def _starts(models: DataFrame | bytes) -> list[bytes]:
    """The different backbones of some models."""
    if isinstance(models, bytes):
        return [models]
    table = pl.LazyFrame(schema=_schema(models))
    column = model_column(table, [])
    column = companion(table, column) or column
    place = models.columns.index(column)
    counted = models.toDF(*(f"{_COLUMN}{i}" for i in range(len(models.columns))))
    counted = counted.groupBy(f"{_COLUMN}{place}").count().toDF(MODEL, COUNT)
    return ordered_starts(_polars(counted.toArrow()).lazy()).to_list()


def _refuse_what_needs_all(where: Any, options: Mapping[str, Any]) -> None:
    """Raises ValueError for an expression, and for a number over all series: workers see one."""
    if where is not None and not isinstance(where, str):
        msg = "parameter `where`: the name of a Boolean column in Spark, and no expression"
        raise ValueError(msg)
    if options.get("total") is not None:
        total = options["total"]
        msg = f"parameter `total` = {total!r}: Spark sees one series at a time: use `count`"
        raise ValueError(msg)
    if options.get("budget") == "fleet":
        msg = "parameter `budget` = 'fleet': Spark sees one series at a time: use 'group'"
        raise ValueError(msg)


def _grouped(data: DataFrame, by: list[str]) -> GroupedData:
    """Rows grouped by their keys, with numbered columns.

    Spark interprets dots and backticks in names, and treats ``a`` and ``A`` as equal; numbers are
    safe.
    """
    numbers = [f"{_COLUMN}{number}" for number in range(len(data.columns))]
    keys = [numbers[data.columns.index(name)] for name in by]
    return data.toDF(*numbers).groupBy(*keys)


def _named(table: pa.Table, columns: list[str]) -> pa.Table:
    """The table with its column names and order restored."""
    numbers = [f"{_COLUMN}{number}" for number in range(len(columns))]
    return table.select(numbers).rename_columns(columns)


def _polars(table: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    frame = frame.to_frame() if isinstance(frame, pl.Series) else frame
    frame.columns = table.schema.names  # an unnamed column has got a name
    return frame


def _schema(data: DataFrame) -> dict[str, pl.DataType]:
    """A Polars schema; ``Object`` for types without a role."""
    if not hasattr(data, "groupBy"):
        msg = f"a Spark DataFrame is needed (or, for `models`, bytes), not {type(data).__name__}"
        raise TypeError(msg)
    refuse_twice("data", data.columns)
    return {field.name: from_spark(field.dataType) for field in data.schema.fields}


def _large(data: DataFrame) -> bool:
    return str(data.sparkSession.conf.get(_LARGE, "false")).lower() == "true"
