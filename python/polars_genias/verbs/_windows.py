"""Overlapping windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polars_genias._plugin import plugin
from polars_genias.verbs._call import listed_columns

if TYPE_CHECKING:
    import polars as pl

    from polars_genias._types import IntoColumn
    from polars_genias.verbs._call import Order


def windows(column: IntoColumn, size: int, stride: int = 1, *, order_by: Order = None) -> pl.Expr:
    """Overlapping windows of a column.

    Parameters
    ----------
    column
        A numeric column, or a struct of D of them.
    size
        Rows of a window, W.
    stride
        Rows between the starts of two windows.
    order_by
        Columns for the time order of the rows.

    Returns
    -------
    Expr
        One row per window: ``Array(Float32, W)``, for a struct ``Array(Float32, (W, D))``.
        Nulls and NaN are null.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> pl.DataFrame({"x": [1, 2, 3, 4]}).select(pg.windows("x", 3))["x"].to_list()
    [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    """
    for name, value in (("size", size), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            msg = f"parameter `{name}` = {value!r}: must be an integer >= 1"
            raise ValueError(msg)
    options = {"size": size, "stride": stride}
    return plugin(
        "windows", column, options=options, order_by=listed_columns(order_by), changes_length=True
    )
