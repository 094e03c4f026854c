"""Archives of many features per series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from polars_genias.datasets._layout import Series, cut, inside, rows, table
from polars_genias.datasets._reading import (
    DATE_TIME,
    array,
    labels,
    matching,
    numbers,
    only,
    text,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def msl(source: str | Path) -> pl.DataFrame:
    r"""Read the Curiosity rover's part of NASA's telemetry anomalies, "telemanom".

    Format: Hundman et al., "Detecting Spacecraft Anomalies Using LSTMs and Nonparametric Dynamic
    Thresholding", KDD 2018. ``train/CHANNEL.npy`` and ``test/CHANNEL.npy`` hold [rows, features];
    ``anomaly_sequences`` of ``labeled_anomalies.csv`` are 0-based rows of the test part, both ends
    included. Several lines of one channel count together; channels without a line are left out.

    Parameters
    ----------
    source
        Folder with ``labeled_anomalies.csv`` and ``train``, ``test`` (or ``data/train``,
        ``data/test``).

    Returns
    -------
    DataFrame
        A series per channel; split as published, train labels unknown.

    Raises
    ------
    ValueError
        For a file that is missing or is not as described.
    ModuleNotFoundError
        Without NumPy (the extra ``datasets``).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from polars_genias import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part, rows in (("train", 3), ("test", 4)):
    ...         Path(folder, part).mkdir()
    ...         np.save(f"{folder}/{part}/C-1.npy", np.zeros((rows, 2)))
    ...     line = 'C-1,MSL,"[[2, 3]]"'
    ...     lines = f"chan_id,spacecraft,anomaly_sequences\n{line}"
    ...     _ = Path(folder, "labeled_anomalies.csv").write_text(lines)
    ...     table = datasets.msl(folder)
    >>> table.filter("label")["t"].to_list()
    [2, 3]
    """
    return table(_telemanom(Path(source), "MSL"), Path(source))


def smap(source: str | Path) -> pl.DataFrame:
    r"""Read the SMAP satellite's part of NASA's telemetry anomalies, "telemanom".

    Parameters
    ----------
    source
        As for `msl`.

    Returns
    -------
    DataFrame
        As for `msl`.

    Raises
    ------
    ValueError
        As `msl`.
    ModuleNotFoundError
        As `msl`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from polars_genias import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part, rows in (("train", 3), ("test", 4)):
    ...         Path(folder, part).mkdir()
    ...         np.save(f"{folder}/{part}/C-1.npy", np.zeros((rows, 2)))
    ...     line = 'C-1,SMAP,"[[2, 3]]"'
    ...     lines = f"chan_id,spacecraft,anomaly_sequences\n{line}"
    ...     _ = Path(folder, "labeled_anomalies.csv").write_text(lines)
    ...     table = datasets.smap(folder)
    >>> table.filter("label")["t"].to_list()
    [2, 3]
    """
    return table(_telemanom(Path(source), "SMAP"), Path(source))


def _telemanom(source: Path, spacecraft: str) -> Iterator[Series]:
    path = source / "labeled_anomalies.csv"
    listed = text(path, ["chan_id", "spacecraft", "anomaly_sequences"])
    channels = listed.filter(pl.col("spacecraft") == spacecraft).group_by("chan_id")
    folder = source if (source / "train").is_dir() else source / "data"
    for (name,), lines in channels:
        train = folder / "train" / f"{name}.npy"
        test = folder / "test" / f"{name}.npy"
        values = array(test, 2, "an array [rows, features]")
        spans = [span for cell in lines["anomaly_sequences"] for span in _spans(cell, path)]
        for first, last in spans:
            if not 0 <= first <= last < values.height:
                msg = f"{path}: {name}: [{first}, {last}] is not in the {values.height} test rows"
                raise ValueError(msg)
        label = inside(pl.int_range(values.height, eager=True), spans)
        yield Series(
            str(name),
            rows(array(train, 2, "an array [rows, features]"), train),
            rows(values, test, label),
        )


def _spans(cell: str, path: Path) -> list[tuple[int, int]]:
    try:
        return [(int(first), int(last)) for first, last in json.loads(cell)]
    except (TypeError, ValueError) as error:
        msg = f"{path}: expected anomaly_sequences as [[first, last], ...], there is {cell!r}"
        raise ValueError(msg) from error


def smd(source: str | Path) -> pl.DataFrame:
    """Read the Server Machine Dataset.

    Format: Su et al., "Robust Anomaly Detection for Multivariate Time Series through Stochastic
    Recurrent Neural Network" (OmniAnomaly), KDD 2019: ``train/MACHINE.txt`` and
    ``test/MACHINE.txt`` with a row of 38 comma-separated numbers per minute and no header,
    ``test_label/MACHINE.txt`` with 0 or 1 per test row.

    Parameters
    ----------
    source
        Folder with ``train``, ``test`` and ``test_label``.

    Returns
    -------
    DataFrame
        A series per machine; split as published, train labels unknown.

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
    ...     for part, lines in {"train": "1,2", "test": "3,4", "test_label": "1"}.items():
    ...         Path(folder, part).mkdir()
    ...         _ = Path(folder, part, "machine-1-1.txt").write_text(lines)
    ...     table = datasets.smd(folder)
    >>> table.rows()
    [('machine-1-1', 'test', 0, 3.0, 4.0, True), ('machine-1-1', 'train', 0, 1.0, 2.0, False)]
    """
    return table(_smd(Path(source)), Path(source))


def _smd(source: Path) -> Iterator[Series]:
    for train in matching(source / "train", "*.txt", "a text file per machine"):
        test = source / "test" / train.name
        known = source / "test_label" / train.name
        label = labels(text(known, has_header=False).to_series(0), known)
        yield Series(
            train.stem,
            rows(numbers(text(train, has_header=False), train), train),
            rows(numbers(text(test, has_header=False), test), test, label),
        )


def swat(source: str | Path) -> pl.DataFrame:
    r"""Read the Secure Water Treatment testbed, SWaT.A1 (December 2015), physical part.

    Format: Goh et al., "A Dataset to Support Research in the Design of Secure Water Treatment
    Systems", CRITIS 2016; the two workbooks saved as CSV, one with ``Normal`` and one with
    ``Attack`` in its name. A line above the header may name the six stages; header names may have
    spaces around them; cells are separated by commas, or by semicolons with decimal commas;
    ``A ttack`` means attack.

    Parameters
    ----------
    source
        Folder with one file of each kind (version 0 or 1 of the normal one, not both).

    Returns
    -------
    DataFrame
        One series, ``swat``: the normal file is train, the attack file is test.

    Raises
    ------
    ValueError
        For a file that is missing or is not as described.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from polars_genias import datasets
    >>> header = " Timestamp,FIT101,Normal/Attack"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     normal = f"{header}\n 22/12/2015 4:30:00 PM,0.5,Normal"
    ...     attack = f"{header}\n 28/12/2015 10:00:00 AM,2.5,Attack"
    ...     _ = Path(folder, "SWaT_Dataset_Normal_v1.csv").write_text(normal)
    ...     _ = Path(folder, "SWaT_Dataset_Attack_v0.csv").write_text(attack)
    ...     table = datasets.swat(folder)
    >>> table.select("split", "value", "label").rows()
    [('test', 2.5, True), ('train', 0.5, False)]
    """
    source = Path(source)
    normal = only(source, "*[Nn]ormal*.csv", "the normal days")
    attack = only(source, "*[Aa]ttack*.csv", "the days with attacks")
    names, train = _swat(normal)
    attacked, test = _swat(attack)
    if names != attacked:
        msg = f"{attack}: expected the columns {names} as in {normal.name}, there are {attacked}"
        raise ValueError(msg)
    return table([Series("swat", train, test)], source)


def _swat(path: Path) -> tuple[list[str], pl.DataFrame]:
    """Names of the sensors, and the rows."""
    skipped, separator = _swat_header(path)
    frame = text(path, ["Timestamp"], skip_rows=skipped, separator=separator)
    sensors = frame.drop("Timestamp", "Normal/Attack")
    made = rows(
        numbers(sensors, path, decimal="," if separator == ";" else "."),
        path,
        labels(frame["Normal/Attack"], path),
        times(frame["Timestamp"], path, "%d/%m/%Y %I:%M:%S %p", DATE_TIME),
    )
    return sensors.columns, made


def _swat_header(path: Path) -> tuple[int, str]:
    """Number of lines above the header, and the separator of cells."""
    with path.open(encoding="utf-8-sig") as lines:
        for skipped, line in zip(range(5), lines, strict=False):
            if "Normal/Attack" in line:
                return skipped, ";" if ";" in line else ","
    msg = f"{path}: expected a header with the column 'Normal/Attack' in the first five lines"
    raise ValueError(msg)


def gecco(source: str | Path) -> pl.DataFrame:
    r"""Read the drinking-water quality of the GECCO 2018 Industrial Challenge.

    Format: Moritz et al., "GECCO Industrial Challenge 2018 Dataset: A water quality dataset for the
    'Internet of Things: Online Anomaly Detection for Drinking Water Quality' competition":
    ``1_gecco2018_water_quality.csv`` with an unnamed row number, ``Time``, nine measurements
    (``NA`` where one is missing) and ``EVENT`` (true or false).

    Parameters
    ----------
    source
        The file, or the folder that holds it.

    Returns
    -------
    DataFrame
        One series, ``gecco2018``. The file has no split: its first half, floor(n / 2) rows, is
        train, like the halves in the benchmark of Lai et al., "Revisiting Time Series Outlier
        Detection", NeurIPS 2021. Labels of both parts are known.

    Raises
    ------
    ValueError
        For a file that is missing or is not as described.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from polars_genias import datasets
    >>> lines = ['"","Time","Tp","EVENT"', '"1",2016-08-03 09:49:00,6.5,FALSE']
    >>> lines += ['"2",2016-08-03 09:50:00,6.6,TRUE']
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "1_gecco2018_water_quality.csv")
    ...     _ = file.write_text("\n".join(lines))
    ...     table = datasets.gecco(folder)
    >>> table["label"].to_list()
    [True, False]
    """
    path = Path(source)
    if not path.is_file():
        path = only(path, "*gecco2018*.csv", "the water quality of 2018")
    frame = text(path, ["Time", "EVENT"])
    measured = frame.select(pl.exclude("", "Time", "EVENT"))
    whole = rows(
        numbers(measured, path),
        path,
        labels(frame["EVENT"], path),
        times(frame["Time"], path, DATE_TIME),
    )
    return table([cut("gecco2018", whole, whole.height // 2)], path)


def swan(source: str | Path) -> pl.DataFrame:
    """Read SWAN-SF, space weather, as the arrays of the NeurIPS 2021 outlier benchmark.

    Data: Angryk et al., "Multivariate time series dataset for space weather data analytics",
    Scientific Data 7, 2020. Of its public forms this is the one of Lai et al., "Revisiting Time
    Series Outlier Detection", NeurIPS 2021, in use by most detectors: ``NIPS_TS_Swan_train.npy``
    and ``NIPS_TS_Swan_test.npy`` [rows, 38], ``NIPS_TS_Swan_test_label.npy`` with 0 or 1 per row.

    Parameters
    ----------
    source
        Folder with the three files.

    Returns
    -------
    DataFrame
        One series, ``swan``; split as published there, train labels unknown.

    Raises
    ------
    ValueError
        For a file that is missing or is not as described.
    ModuleNotFoundError
        Without NumPy (the extra ``datasets``).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from polars_genias import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/NIPS_TS_Swan_train.npy", np.zeros((3, 2)))
    ...     np.save(f"{folder}/NIPS_TS_Swan_test.npy", np.ones((2, 2)))
    ...     np.save(f"{folder}/NIPS_TS_Swan_test_label.npy", np.array([0, 1]))
    ...     table = datasets.swan(folder)
    >>> table.filter(split="test")["label"].to_list()
    [False, True]
    """
    source = Path(source)
    train, test, known = (
        source / f"NIPS_TS_Swan_{part}.npy" for part in ("train", "test", "test_label")
    )
    matrix = "an array [rows, features]"
    label = array(known, 1, "an array with a label per test row").to_series(0).cast(pl.Int64)
    one = Series(
        "swan",
        rows(array(train, 2, matrix), train),
        rows(array(test, 2, matrix), test, labels(label.cast(pl.String), known)),
    )
    return table([one], source)
