"""Dagster: an asset of labels, with checks of its alarms and of its coverage.

``dagster dev -f dagster_label.py`` in this folder shows both.
"""

from typing import Any

import dagster as dg
import night
import polars as pl

ACCEPTED = 0
"""Alarms per night that pass the check."""


@dg.asset(description="Labels of all partitions, by stored models.")
def labels() -> dg.MaterializeResult[Any]:
    """Label the new partitions."""
    summary = night.label()
    told = {
        "partitions": summary["partitions"],
        "alarms": summary["alarms"],
        "series": dg.MetadataValue.json(summary["series"]),
    }
    return dg.MaterializeResult(metadata=told)


def last_night() -> pl.DataFrame:
    """Return the newest labels."""
    newest = max((night.data() / "labelled").glob("*/labels.parquet"))
    return pl.read_parquet(newest)


@dg.asset_check(asset=labels, description="No series has an alarm.")
def few_alarms() -> dg.AssetCheckResult:
    """Fail on alarms; a failed check does not undo the labels."""
    rows = last_night().filter("anomaly_label")
    hosts = rows["host"].unique().sort().to_list()
    passed = len(hosts) <= ACCEPTED
    return dg.AssetCheckResult(passed=passed, metadata={"hosts": hosts})


@dg.asset_check(asset=labels, description="Nine of ten rows have a label.")
def most_rows_are_labelled() -> dg.AssetCheckResult:
    """Fail if labels are missing."""
    share = last_night().select(1 - pl.col("anomaly_label").is_null().mean()).item()
    return dg.AssetCheckResult(passed=share > 0.9, metadata={"share": share})


nightly = dg.ScheduleDefinition(
    name="genias_nightly",
    target=dg.AssetSelection.assets(labels),
    cron_schedule="0 2 * * *",
)
defs = dg.Definitions(
    assets=[labels],
    asset_checks=[few_alarms, most_rows_are_labelled],
    schedules=[nightly],
)
