"""Exchange data with DuckDB and pyarrow; buffer addresses show which columns are not copied.

A DuckDB table is read as Arrow, scored in Polars, and goes back into DuckDB, all in memory of one
process. A column is "shared" where both sides hold the same buffers. Numbers and Booleans are, all
the way. DuckDB gives strings with offsets and Polars keeps views, which are made on the way in.

    python examples/duckdb_arrow.py                                   # on a table that it makes
    python examples/duckdb_arrow.py my.duckdb metrics --by host --order-by timestamp

Needs ``pip install duckdb pyarrow``. The scores go into the table ``{table}_scored``.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

import polars_genias as pg

if TYPE_CHECKING:
    import pyarrow as pa

MAKE = """
    create table metrics as
    select 'web-' || (i % 2) as host, i // 2 as minute,
           sin(i / 30.0) + (hash(i) % 1000) / 5000.0 as cpu,
           cast(cos(i / 50.0) as float) as memory, i % 500 = 0 as restart
    from range(2000) rows(i)
"""


def addresses(column: pa.ChunkedArray) -> list[list[int]]:
    """Address of the values of each chunk; the first buffer of an array is its validity."""
    return [[buffer.address for buffer in chunk.buffers()[1:] if buffer] for chunk in column.chunks]


def crossing(left: pa.Table, right: pa.Table) -> dict[str, str]:
    """Whether each column of `left` has the same memory in `right`."""
    return {
        name: "shared" if addresses(left[name]) == addresses(right[name]) else "copied"
        for name in left.column_names
    }


def as_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame as Arrow, with string views like those of Polars."""
    return frame.to_arrow(compat_level=pl.CompatLevel.newest())


def score(
    connection: duckdb.DuckDBPyConnection, table: str, by: str, order_by: str, **options: Any
) -> dict[str, dict[str, str]]:
    """Scores a table into another one; returns which columns were shared."""
    arrow = connection.table(table).to_arrow_table()
    frame = pl.DataFrame(pl.from_arrow(arrow, rechunk=False))
    into = crossing(arrow, as_arrow(frame))

    model = pg.fit(frame, by=by, order_by=order_by, **options)
    query = pg.score(frame.lazy(), models=model, by=by, order_by=order_by)
    scored = query.collect(engine="in-memory")
    # A verb keeps the columns of its input in place, and adds new ones.
    through = crossing(as_arrow(frame), as_arrow(scored.select(frame.columns)))

    out = as_arrow(scored)
    # If the export copied, a second one would have other addresses.
    back = crossing(out, as_arrow(scored))
    # DuckDB reads the Arrow table batch by batch while it writes its own, compressed, storage.
    connection.register("scored", out)
    connection.sql(f"create or replace table {table}_scored as from scored")
    connection.unregister("scored")
    return {"DuckDB to Polars": into, "through the verb": through, "Polars to pyarrow": back}


def main() -> dict[str, dict[str, str]]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("database", nargs="?", default=":memory:")
    parser.add_argument("table", nargs="?", default="metrics")
    parser.add_argument("--by", default="host")
    parser.add_argument("--order-by", default="minute")
    given = parser.parse_args()
    options: dict[str, Any] = {}
    with duckdb.connect(given.database) as connection:
        if given.database == ":memory:":
            connection.sql(MAKE)
            options = {"window": 32, "steps": 30, "detector": "reconstruction"}
        found = score(connection, given.table, given.by, given.order_by, **options)
        for step, columns in found.items():
            print(f"{step}: " + ", ".join(f"{name} {how}" for name, how in columns.items()))
        highest = "max(anomaly_score) as highest, count(*) as n"
        query = f"select {given.by}, {highest} from {given.table}_scored group by all order by all"
        print(connection.sql(query))
    return found


if __name__ == "__main__":
    main()
