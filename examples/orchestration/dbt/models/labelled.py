"""The metrics with a label per row."""

import polars_genias as pg


def model(dbt, session):  # noqa: ARG001 # dbt passes both
    """Label the rows by the stored models."""
    models = dbt.ref("models").pl()
    given = {"by": "host", "order_by": "timestamp", "models": models}
    return pg.label(dbt.ref("metrics"), **given).to_arrow_table()
