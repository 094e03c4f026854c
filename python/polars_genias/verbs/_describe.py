"""Descriptions of models, and their warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias._foreign import like, to_polars
from polars_genias._models import model_column
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
        ``seconds`` (null unless fitted in this process), ``stop_reason``, ``health`` (a list of
        warnings, explained in ``docs/diagnostics.md``), ``history``, ``config`` and more.

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
        described = table.with_columns(plugin("describe", name, options={}, is_elementwise=True))
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
        others = [column for column in table.collect_schema() if column != name]
        described = describe(table)
        return like(data, described.select(*map(column_named, [*others, *_HEALTH])))
    return describe(data).struct.field("health")


def _table(data: Any) -> tuple[pl.LazyFrame, str]:
    """A table of models, and its column of models."""
    table = to_polars(data).lazy()
    return table, model_column(table, [], "data")


def _refuse_clash(table: pl.LazyFrame, name: str) -> None:
    """Raises ValueError for a column with the name of a column of the description."""
    schema = table.select(plugin("describe", name, options={}, is_elementwise=True))
    own = schema.collect_schema()[name].to_schema()  # type: ignore[attr-defined]
    clash = [column for column in table.collect_schema() if column in own and column != name]
    if clash:
        msg = f"column {clash[0]!r}: a description has a column of this name; rename it"
        raise ValueError(msg)
