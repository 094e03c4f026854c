"""Archives of one feature per series."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from polars_genias.datasets._layout import Series, cut, inside, rows, table
from polars_genias.datasets._reading import (
    DATE_TIME,
    existing,
    labels,
    matching,
    numbers,
    only,
    text,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

UCR_NAME = re.compile(r"(\d+)_UCR_Anomaly_(.+)_(\d+)_(\d+)_(\d+)")


def kpi(source: str | Path) -> pl.DataFrame:
    r"""Read the key performance indicators of the AIOps Challenge 2018 (final round).

    Format: Li et al., "Constructing Large-Scale Real-World Benchmark Datasets for AIOps", 2022.
    ``phase2_train.csv``, and the test rows ``phase2_ground_truth``, published as HDF: save that
    table as CSV. Columns: ``timestamp`` (Unix seconds), ``value``, ``label`` (0 or 1), ``KPI ID``.

    Parameters
    ----------
    source
        Folder with ``phase2_train.csv`` and ``phase2_ground_truth.csv``.

    Returns
    -------
    DataFrame
        A series per KPI ID, rows in the order of their time; split as published, labels of both
        parts known. Missing minutes stay missing.

    Raises
    ------
    ValueError
        For a file that is missing or is not as described, and a KPI in one of the files only.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from polars_genias import datasets
    >>> header = "timestamp,value,label,KPI ID"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, line in (("train", "60,0.5,0,a"), ("ground_truth", "120,9,1,a")):
    ...         _ = Path(folder, f"phase2_{name}.csv").write_text(f"{header}\n{line}")
    ...     table = datasets.kpi(folder)
    >>> table.select("split", "value", "label").rows()
    [('test', 9.0, True), ('train', 0.5, False)]
    """
    source = Path(source)
    train = _kpi(existing(source / "phase2_train.csv", "the train rows"))
    path = existing(
        source / "phase2_ground_truth.csv", "the test rows: phase2_ground_truth.hdf saved as CSV"
    )
    test = _kpi(path)
    if train.keys() != test.keys():
        msg = f"{path}: expected the KPI IDs of the train rows; {train.keys() ^ test.keys()} differ"
        raise ValueError(msg)
    return table((Series(name, train[name], test[name]) for name in train), source)


def _kpi(path: Path) -> dict[str, pl.DataFrame]:
    """Rows by KPI."""
    frame = text(path, ["timestamp", "value", "label", "KPI ID"])
    seconds = numbers(frame.select("timestamp"), path).to_series()
    if seconds.null_count():
        msg = f"{path}: column 'timestamp': expected a time in every row"
        raise ValueError(msg)
    frame = frame.with_columns(
        timestamp=pl.from_epoch(seconds.cast(pl.Int64), time_unit="s"),
        label=labels(frame["label"], path),
    ).sort("timestamp", maintain_order=True)
    return {
        str(name): rows(numbers(part.select("value"), path), path, part["label"], part["timestamp"])
        for (name,), part in frame.group_by("KPI ID", maintain_order=True)
    }


def yahoo(source: str | Path) -> pl.DataFrame:
    r"""Read Yahoo's S5, "A Labeled Anomaly Detection Dataset, version 1.0".

    Format: Laptev, Amizadeh and Flint, "Generic and Scalable Framework for Automated Time-series
    Anomaly Detection", KDD 2015. ``A1Benchmark/real_1.csv`` and ``A2Benchmark/synthetic_1.csv``
    with ``timestamp,value,is_anomaly``; ``A3Benchmark/A3Benchmark-TS1.csv`` and
    ``A4Benchmark/A4Benchmark-TS1.csv`` with ``timestamps,value,anomaly,changepoint,...``. The
    collections ``..._all.csv`` are left out, the column ``changepoint`` is no label.

    Parameters
    ----------
    source
        Folder with some of ``A1Benchmark`` to ``A4Benchmark``.

    Returns
    -------
    DataFrame
        A series per file, named as ``A1/real_1``, without times (those of A1 are row numbers).
        The archive has no split: here the first half, floor(n / 2) rows, is train. Labels of both
        parts are known.

    Raises
    ------
    ValueError
        For a file that is missing or is not as described.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from polars_genias import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "A1Benchmark", "real_1.csv")
    ...     file.parent.mkdir()
    ...     _ = file.write_text("timestamp,value,is_anomaly\n1,0.5,0\n2,9,1")
    ...     table = datasets.yahoo(folder)
    >>> table.filter("label")["value"].to_list()
    [9.0]
    """
    return table(_yahoo(Path(source)), Path(source))


def _yahoo(source: Path) -> Iterator[Series]:
    for path in matching(source, "A[1-4]Benchmark/*.csv", "a folder per benchmark"):
        if path.stem.endswith("_all"):
            continue
        frame = text(path, ["value"])
        known = "anomaly" if "anomaly" in frame.columns else "is_anomaly"
        if known not in frame.columns:
            msg = f"{path}: expected a column 'is_anomaly' or 'anomaly', there are {frame.columns}"
            raise ValueError(msg)
        whole = rows(numbers(frame.select("value"), path), path, labels(frame[known], path))
        yield cut(f"{path.parent.name[:2]}/{path.stem}", whole, whole.height // 2)


def ucr(source: str | Path) -> pl.DataFrame:
    """Read the UCR Time Series Anomaly Archive.

    Format: Wu and Keogh, "Current Time Series Anomaly Detection Benchmarks are Flawed and are
    Creating the Illusion of Progress", TKDE 2021: a text file per series, named
    ``NUMBER_UCR_Anomaly_MNEMONIC_TRAIN_BEGIN_END.txt``. The first TRAIN values are train; the
    values BEGIN to END, counted from 1 and both included, are its one anomaly. Values stand on a
    line each, in some files all on one line.

    Parameters
    ----------
    source
        Folder with the text files.

    Returns
    -------
    DataFrame
        A series per file, named ``NUMBER_MNEMONIC``: the rest of the name gives the label away.

    Raises
    ------
    ValueError
        For a file whose name or contents are not as described.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from polars_genias import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "001_UCR_Anomaly_toy_3_5_5.txt")
    ...     _ = file.write_text("0 1 0 1 9 1")
    ...     table = datasets.ucr(folder)
    >>> table.filter("label").rows()
    [('001_toy', 'test', 1, 9.0, True)]
    """
    return table(_ucr(Path(source)), Path(source))


def _ucr(source: Path) -> Iterator[Series]:
    for path in matching(source, "*.txt", "a text file per series"):
        named = UCR_NAME.fullmatch(path.stem)
        if named is None:
            msg = f"{path}: expected a name as 001_UCR_Anomaly_NAME_TRAIN_BEGIN_END.txt"
            raise ValueError(msg)
        number, mnemonic = named.group(1, 2)
        train, begin, end = (int(bound) for bound in named.group(3, 4, 5))
        cells = pl.DataFrame({"value": path.read_text().split()}, schema={"value": pl.String})
        if not train < begin <= end <= cells.height:
            msg = f"{path}: expected TRAIN < BEGIN <= END <= {cells.height}, the number of values"
            raise ValueError(msg)
        # The name counts from 1.
        label = inside(pl.int_range(1, cells.height + 1, eager=True), [(begin, end)])
        yield cut(f"{number}_{mnemonic}", rows(numbers(cells, path), path, label), train)


def nab(source: str | Path) -> pl.DataFrame:
    r"""Read the Numenta Anomaly Benchmark.

    Format: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta
    Anomaly Benchmark", ICMLA 2015: ``data/GROUP/NAME.csv`` with ``timestamp,value``, and windows
    of time around the anomalies in ``labels/combined_windows.json``, both ends included.

    Parameters
    ----------
    source
        Folder with ``data`` and ``labels``; of the groups, those that are there.

    Returns
    -------
    DataFrame
        A series per file, named ``GROUP/NAME``, rows in the order of the file. The first
        floor(0.15 n) rows are train: NAB's probation without its cap of 750 rows. Labels of both
        parts known.

    Raises
    ------
    ValueError
        For a file that is missing or is not as described.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from polars_genias import datasets
    >>> spans = '{"group/a.csv": [["2014-04-01 00:01:00", "2014-04-01 00:02:00"]]}'
    >>> lines = ["timestamp,value", *(f"2014-04-01 00:0{t}:00,{t}" for t in range(8))]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "data", "group", "a.csv")
    ...     file.parent.mkdir(parents=True)
    ...     _ = file.write_text("\n".join(lines))
    ...     Path(folder, "labels").mkdir()
    ...     _ = Path(folder, "labels", "combined_windows.json").write_text(spans)
    ...     table = datasets.nab(folder)
    >>> table.filter("label")["value"].to_list()
    [1.0, 2.0]
    """
    return table(_nab(Path(source)), Path(source))


def _nab(source: Path) -> Iterator[Series]:
    listed = only(source / "labels", "combined_windows.json", "the windows of all series")
    windows = _windows(listed)
    for path in matching(source / "data", "*/*.csv", "a folder per group"):
        key = f"{path.parent.name}/{path.name}"
        if key not in windows:
            msg = f"{listed}: expected windows of {key!r}, there are none"
            raise ValueError(msg)
        frame = text(path, ["timestamp", "value"])
        timestamp = times(frame["timestamp"], path, DATE_TIME)
        label = inside(timestamp, windows[key])
        whole = rows(numbers(frame.select("value"), path), path, label, timestamp)
        yield cut(key.removesuffix(".csv"), whole, whole.height * 15 // 100)


def _windows(path: Path) -> dict[str, list[tuple[datetime, datetime]]]:
    try:
        return {
            key: [
                (datetime.fromisoformat(first), datetime.fromisoformat(last))
                for first, last in spans
            ]
            for key, spans in json.loads(path.read_text()).items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        msg = f"{path}: expected lists of [first, last] times by file name: {error}"
        raise ValueError(msg) from error
