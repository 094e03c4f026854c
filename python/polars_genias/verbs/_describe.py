"""Descriptions of models, and their warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias._foreign import like, to_polars
from polars_genias._models import companion, model_column, model_value
from polars_genias._models import standalone as joined
from polars_genias._names import column as column_named
from polars_genias._plugin import plugin
from polars_genias.verbs._call import is_frame

if TYPE_CHECKING:
    import polars as pl

    from polars_genias._types import Frame, IntoColumn

_HEALTH = ("psi", "r2", "r2_pca", "health")
"""Columns of `health` for a table of models."""


@overload
def describe(data: Frame) -> Frame: ...
@overload
def describe(data: IntoColumn) -> pl.Expr: ...
def describe(data: Any) -> Any:
    """Describe models: results and options of their fits.

    Parameters
    ----------
    data
        A table of models as `fit` gives it, or a Binary column of models.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        For frames: the table with the columns below instead of the model. For columns: a struct
        of them. ``psi``, ``r2`` and ``r2_pca`` (reconstruction of held-out windows, and that of PCA
        with the same rank), ``active_units``, ``edi`` (diversity of its anomalies: entropy over
        clusters, in nats), ``correlation`` (the largest between two features, for ``patch``; null
        if fewer than two vary), ``kl``, ``patch_rate``, ``in_band``, ``threshold``, ``steps``,
        ``seconds`` (null unless fitted in this process), ``stop_reason``, ``origin`` (whether the
        VAE is its ``"own"`` or ``"shared"``), ``backbone`` (name of the VAE that it shares),
        ``health`` (a list of warnings, explained in ``docs/diagnostics.md``), ``history``,
        ``config`` and more.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> models = wave.genias.fit(window=16, steps=20)
    >>> models.genias.describe()["stop_reason"].item()
    'steps'
    >>> models.select(pg.describe("model").struct.field("steps")).item()
    20
    """
    if is_frame(data):
        table, name = _table(data)
        _refuse_clash(table, name)
        value = model_value(table, name)
        about = plugin("describe", value, options={}, is_elementwise=True)
        beside = companion(table, name)
        described = table.with_columns(about.alias(name)).drop(beside or [])
        return like(data, described.unnest(name))
    return plugin("describe", data, options={}, is_elementwise=True)


@overload
def health(data: Frame) -> Frame: ...
@overload
def health(data: IntoColumn) -> pl.Expr: ...
def health(data: Any) -> Any:
    """Return the warnings about models; ``docs/diagnostics.md`` explains each of them.

    Parameters
    ----------
    data
        A table of models as `fit` gives it, or a Binary column of models.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        For frames: the other columns of the table, ``psi``, ``r2``, ``r2_pca`` (see `describe`) and
        ``health``. For columns: ``health`` only. It is a list of the names of warnings per model:
        empty without a warning, null for a null model.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> models = wave.genias.fit(window=16, steps=20)
    >>> models.genias.health().columns
    ['psi', 'r2', 'r2_pca', 'health']
    """
    if is_frame(data):
        table, name = _table(data)
        own = (name, companion(table, name))
        others = [column for column in table.collect_schema() if column not in own]
        described = describe(table)
        return like(data, described.select(*map(column_named, [*others, *_HEALTH])))
    return describe(data).struct.field("health")


def standalone(data: Any) -> Any:
    """Put models and their shared VAEs together.

    Parameters
    ----------
    data
        A table of models as `fit` gives it with `share` or `warm`.

    Returns
    -------
    DataFrame or LazyFrame
        The table without the column of backbones: every model is one self-contained Binary value,
        with the same results, and its VAE is stored once per model. Other tables are returned as
        they are.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> waves = pl.DataFrame({"host": ["a", "b"] * 64}).with_row_index("t").select(
    ...     "host", cpu=(pl.col("t") / 5).sin() + pl.col("host").rank("dense")
    ... )
    >>> models = waves.genias.fit(by="host", share="fleet", window=16, steps=20)
    >>> models.columns
    ['host', 'model', 'model_backbone']
    >>> pg.standalone(models).columns
    ['host', 'model']
    """
    return like(data, joined(to_polars(data).lazy()))


def _table(data: Any) -> tuple[pl.LazyFrame, str]:
    """A table of models, and its column of models."""
    table = to_polars(data).lazy()
    return table, model_column(table, [], "data")


def _refuse_clash(table: pl.LazyFrame, name: str) -> None:
    """Raises ValueError for a column with the name of a column of the description."""
    about = plugin("describe", model_value(table, name), options={}, is_elementwise=True)
    schema = table.select(about.alias(name))
    own = schema.collect_schema()[name].to_schema()  # type: ignore[attr-defined]
    clash = [column for column in table.collect_schema() if column in own and column != name]
    if clash:
        msg = f"column {clash[0]!r}: a description has a column of this name; rename it"
        raise ValueError(msg)
