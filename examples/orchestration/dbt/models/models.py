"""One model of anomalies per host."""

import polars_genias as pg


def model(dbt, session):  # noqa: ARG001 # dbt passes both
    """Fit the models, if they are due: ``dbt run --select models``."""
    rows = dbt.ref("metrics")
    return pg.fit(rows, by="host", order_by="timestamp", label="incident").to_arrow_table()
