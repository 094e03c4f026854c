"""An Airflow DAG (TaskFlow): label every night, fail on alarms, and on series without labels.

Copy this file and ``night.py`` into the folder of DAGs.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import night
from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

ACCEPTED = 0
"""Alarms per night that do not fail the gate."""


@task(retries=2)  # a run that was killed continues where it stopped
def label() -> dict[str, Any]:
    """Label the new partitions."""
    return night.label()


@task
def gate(summary: dict[str, Any]) -> int:
    """Fail without a retry if there are alarms."""
    found = night.alarmed(summary)
    if summary["alarms"] > ACCEPTED:
        names = [series["host"] for series in found]
        msg = f"{summary['alarms']} alarms, in {names}"
        raise AirflowFailException(msg)
    return len(summary["series"])


@task
def coverage(summary: dict[str, Any]) -> list[str]:
    """Return the series without a label."""
    return [series["host"] for series in summary["series"] if not series["labelled"]]


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,  # nights follow one another: each reads the models of the one before
    tags=["genias"],
)
def genias_nightly() -> None:
    """Label the metrics of a night."""
    summary = label()
    gate(summary)
    coverage(summary)


genias_nightly()
