"""Conversion of frames of other libraries: pandas, pyarrow, DuckDB, and others that export Arrow.

`to_polars` reads them, through narwhals where Polars cannot; `like` converts a result to the type
of the input. If the result has the rows of the input, the input's own columns are kept, including
an index and dtypes that Polars lacks, and new columns are added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

_POLARS = (pl.DataFrame, pl.LazyFrame)


def to_polars(data: Any, role: str = "data") -> pl.DataFrame | pl.LazyFrame:
    """Convert a frame of any type to Polars, without its index.

    Raises
    ------
    TypeError
        If `data` is not a frame.
    ModuleNotFoundError
        If narwhals is needed but not installed.
    """
    if isinstance(data, _POLARS):
        return data
    if _from_module(data, "pyarrow", "arro3", "nanoarrow"):
        return _from_arrow(data)
    if _from_module(data, "pyspark"):
        msg = f"parameter `{role}`: a Spark DataFrame; use the verbs in `polars_genias.spark`"
        raise TypeError(msg)
    frame = _narwhal(data)
    if frame is not None:
        return _collected(frame)
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "dtype"):
        return _from_arrow(data)
    kinds = "Polars, pandas, pyarrow or DuckDB, or one that has `__arrow_c_stream__`"
    msg = f"parameter `{role}`: must be a frame of {kinds}, not {type(data).__name__}"
    raise TypeError(msg)


def like(data: Any, result: pl.LazyFrame, *, keeps_rows: bool = False) -> Any:
    """Convert the result to the type of `data`; `keeps_rows`: it is the input with new columns."""
    if isinstance(data, pl.LazyFrame):
        return result
    # The engine that does not copy columns.
    found = result.collect(engine="in-memory")
    if isinstance(data, pl.DataFrame):
        return found
    if _from_module(data, "duckdb"):
        return _to_duckdb(data, found)
    if _from_module(data, "pyarrow"):
        return _to_pyarrow(data, found, keeps_rows=keeps_rows)
    if _from_module(data, "arro3", "nanoarrow"):
        return _in_its_words(data, found)
    frame = _narwhal(data)
    if frame is None:
        return _in_its_words(data, found)
    return _to_narwhals(data, frame, found, keeps_rows=keeps_rows)


def _from_module(data: Any, *names: str) -> bool:
    """Whether the class of `data` belongs to one of these packages."""
    homes = {kind.__module__.partition(".")[0].lstrip("_") for kind in type(data).__mro__}
    return not homes.isdisjoint(names)


def _from_arrow(data: Any) -> pl.DataFrame:
    frame = pl.from_arrow(data) if _from_module(data, "pyarrow") else pl.DataFrame(data)
    return frame.to_frame() if isinstance(frame, pl.Series) else frame


def _narwhal(data: Any) -> Any:
    """The frame in narwhals, or None if narwhals does not support it."""
    try:
        import narwhals.stable.v2 as nw
    except ModuleNotFoundError:
        if _from_module(data, "pandas", "duckdb", "modin", "cudf"):
            msg = 'frames of pandas and DuckDB need narwhals: pip install "narwhals>=2"'
            raise ModuleNotFoundError(msg, name="narwhals") from None
        return None
    frame = nw.from_native(data, pass_through=True)
    return frame if isinstance(frame, (nw.DataFrame, nw.LazyFrame)) else None


def _collected(frame: Any) -> pl.DataFrame:
    """The rows of a narwhals frame."""
    if hasattr(frame, "collect"):
        frame = frame.collect("polars")
    polars: pl.DataFrame = frame.to_polars()
    return polars


def _to_duckdb(data: Any, found: pl.DataFrame) -> Any:
    """A relation on the connection of `data`."""
    genias_result = found.to_arrow()  # noqa: F841 # DuckDB reads the variable
    return data.query("genias_input", "from genias_result")


def _to_pyarrow(data: Any, found: pl.DataFrame, *, keeps_rows: bool) -> Any:
    """A table; for a record batch, a record batch."""
    import pyarrow as pa

    table = found.to_arrow(compat_level=pl.CompatLevel.oldest())
    if keeps_rows and isinstance(data, pa.Table):
        for name in table.column_names[data.num_columns :]:
            data = data.append_column(name, table[name])
        return data
    if isinstance(data, pa.RecordBatch):
        return table.combine_chunks().to_batches()[0] if len(table) else _empty_batch(table)
    return table.to_reader() if isinstance(data, pa.RecordBatchReader) else table


def _empty_batch(table: Any) -> Any:
    return type(table).to_batches(table.slice(0, 0), max_chunksize=None)[0]


def _in_its_words(data: Any, found: pl.DataFrame) -> Any:
    """Convert by the `from_arrow` of the type; without one, return the Polars frame."""
    make: Callable[[Any], Any] | None = getattr(type(data), "from_arrow", None)
    return found if make is None else make(found)


def _to_narwhals(data: Any, frame: Any, found: pl.DataFrame, *, keeps_rows: bool) -> Any:
    """Convert through narwhals: pandas and similar libraries."""
    import narwhals.stable.v2 as nw

    if not hasattr(frame, "to_pandas"):
        msg = f"a result can't be converted to {type(data).__name__}: collect `data` first"
        raise TypeError(msg)
    new = found[found.columns[len(frame.columns) :]] if keeps_rows else found
    if frame.implementation.is_pandas():
        made = nw.from_native(_to_pandas(new))
    else:
        made = nw.from_arrow(new, backend=frame.implementation)
    if keeps_rows:
        made = frame.with_columns(*(made[name] for name in made.columns))
    return made if isinstance(data, type(frame)) else made.to_native()


def _to_pandas(frame: pl.DataFrame) -> Any:
    """A pandas frame in which integers and Booleans with nulls keep their dtypes."""
    import pandas as pd

    return pd.DataFrame({column.name: _pandas_series(column) for column in frame})


def _pandas_series(column: pl.Series) -> Any:
    if column.dtype == pl.Boolean:
        return column.to_pandas().astype("boolean")
    if column.dtype == pl.UInt32 or (column.dtype.is_integer() and column.null_count()):
        nullable = str(column.dtype)  # pandas has the same names
        return column.to_pandas(use_pyarrow_extension_array=True).astype(nullable)
    return column.to_pandas()
