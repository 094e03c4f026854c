"""Converters, each on a small archive in the format of the original."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polars_genias import datasets

pytestmark = pytest.mark.once

DATA = Path(os.environ.get("GENIAS_DATA", Path(__file__).parents[3] / "shared" / "data"))
TIMED = ("nab", "swat", "kpi", "gecco")


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def telemanom(folder):
    """Two MSL channels, one with two lines and an anomaly at either end, and one of SMAP."""
    for at, (name, width) in enumerate({"C-1": 3, "M-6": 3, "P-1": 2}.items()):
        save(folder / "train" / f"{name}.npy", np.arange(4.0 * width).reshape(4, width) + at)
        save(folder / "test" / f"{name}.npy", np.arange(6.0 * width).reshape(6, width) - at)
    write(
        folder / "labeled_anomalies.csv",
        "chan_id,spacecraft,anomaly_sequences,class,num_values",
        'P-1,SMAP,"[[2, 3]]",[point],6',
        'M-6,MSL,"[[5, 5]]",[point],6',
        'C-1,MSL,"[[3, 4], [0, 1]]","[point, contextual]",6',
        'M-6,MSL,"[[1, 1]]",[point],6',
    )


def smd(folder):
    for name, shift in {"machine-1-1": 0, "machine-1-2": 10}.items():
        write(folder / "train" / f"{name}.txt", f"{shift},1.5", f"{shift + 1},0", f"{shift},-1e-3")
        write(folder / "test" / f"{name}.txt", f"{shift},2", f"{shift},3")
        write(folder / "test_label" / f"{name}.txt", "0", "1")


def swat(folder):
    write(
        folder / "SWaT_Dataset_Normal_v1.csv",
        ",P1,,",
        " Timestamp,FIT101, LIT101,Normal/Attack",
        " 22/12/2015 4:30:00 PM,0,124.3135,Normal",
        " 22/12/2015 4:30:01 PM,0.5, 124.3920,Normal",
    )
    write(
        folder / "SWaT_Dataset_Attack_v0.csv",
        " Timestamp, FIT101,LIT101 ,Normal/Attack",
        " 28/12/2015 10:00:00 AM,2.4,522.8,Normal",
        " 28/12/2015 12:00:01 PM,2.5,522.9,Attack",
        " 28/12/2015 12:00:02 AM,2.6,523.0,A ttack",
    )


def kpi(folder):
    header = "timestamp,value,label,KPI ID"
    write(
        folder / "phase2_train.csv",
        header,
        "1476460860,0.012,0,b",
        "1476460800,0.5,1,b",
        "1476460800,7,0,a",
    )
    write(
        folder / "phase2_ground_truth.csv",
        "KPI ID,timestamp,value,label",
        "b,1476460980,1.0,0",
        "a,1476460860,8,1",
    )


def yahoo(folder):
    write(
        folder / "A1Benchmark" / "real_1.csv",
        "timestamp,value,is_anomaly",
        *(f"{t},{t / 2},{int(t == 5)}" for t in range(1, 6)),
    )
    for name in ("A4Benchmark-TS1", "A4Benchmark_all"):
        write(
            folder / "A4Benchmark" / f"{name}.csv",
            "timestamps,value,anomaly,changepoint,trend,noise,seasonality1",
            *(f"{1422237600 + 3600 * t},{-t},{int(t == 0)},{int(t == 2)},9,9,9" for t in range(4)),
        )


def ucr(folder):
    write(folder / "004_UCR_Anomaly_DISTORTED_a1_3_5_6.txt", *(f"   {t}.5e+00" for t in range(8)))
    write(folder / "204_UCR_Anomaly_CHARIS_2_3_3.txt", " 1.0  2.0\t3.0 4.0 ")


def nab(folder):
    start = datetime(2014, 4, 1)
    lines = [f"{start + timedelta(minutes=5 * t)},{t}" for t in range(27)]
    lines[25], lines[26] = lines[26], lines[25]  # a step back in time
    write(folder / "data" / "realKnownCause" / "a.csv", "timestamp,value", *lines)
    write(folder / "data" / "artificialNoAnomaly" / "b.csv", "timestamp,value", *lines[:20])
    windows = {
        "realKnownCause/a.csv": [
            ["2014-04-01 00:10:00.000000", "2014-04-01 00:20:00.000000"],
            ["2014-04-01 02:05:01.000000", "2014-04-01 02:10:00.000000"],
        ],
        "artificialNoAnomaly/b.csv": [],
        "realTweets/not_here.csv": [],
    }
    write(folder / "labels" / "combined_windows.json", json.dumps(windows))


def gecco(folder):
    write(
        folder / "1_gecco2018_water_quality.csv",
        '"","Time","Tp","Cl","EVENT"',
        '"1",2016-08-03 09:49:00,6.5,NA,FALSE',
        '"2",2016-08-03 09:50:00,NA,0.17,TRUE',
        '"3",2016-08-03 09:51:00,6.7,NA,False',
        '"4",2016-08-03 09:52:00,NA,NA,True',
        '"5",2016-08-03 09:53:00,6.9,0.2,FALSE',
    )


def swan(folder):
    save(folder / "NIPS_TS_Swan_train.npy", np.array([[1, np.nan], [np.nan, 4], [5, 6.0]]))
    save(folder / "NIPS_TS_Swan_test.npy", np.arange(4.0).reshape(2, 2))
    save(folder / "NIPS_TS_Swan_test_label.npy", np.array([0.0, 1.0]))


MADE = {
    "gecco": gecco,
    "kpi": kpi,
    "msl": telemanom,
    "nab": nab,
    "smap": telemanom,
    "smd": smd,
    "swan": swan,
    "swat": swat,
    "ucr": ucr,
    "yahoo": yahoo,
}


@pytest.fixture
def made(tmp_path):
    def make(name):
        folder = tmp_path / name
        MADE[name](folder)
        return folder

    return make


def contract(table, *, timed):
    """The layout that every file of the benchmark has."""
    features = datasets.features(table)
    named = ["value"] if len(features) == 1 else [f"f{i:02}" for i in range(len(features))]
    schema = {"series": pl.String, "split": pl.String, "t": pl.Int64}
    if timed:
        schema["timestamp"] = pl.Datetime("us")
    schema |= dict.fromkeys(named, pl.Float32) | {"label": pl.Boolean}
    assert dict(table.schema) == schema
    assert table.null_count().transpose().to_series().sum() == 0
    assert table.select(pl.col(named).is_finite().all()).row(0) == (True,) * len(named)
    assert set(table["split"]) == {"train", "test"}
    assert table.equals(table.sort("series", "split", "t"))
    numbered = pl.int_range(pl.len(), dtype=pl.Int64).over("series", "split")
    assert table.select((pl.col("t") == numbered).all()).item()


def hit(table, series, split="test"):
    """Positions of the anomalous rows."""
    return table.filter("label", series=series, split=split)["t"].to_list()


def lengths(table):
    """Rows of train and test per series."""
    counted = table.group_by("series").agg(
        train=(pl.col("split") == "train").sum(), test=(pl.col("split") == "test").sum()
    )
    return {name: (train, test) for name, train, test in counted.iter_rows()}


def column(table, name, series, split):
    return table.filter(series=series, split=split)[name].to_list()


@pytest.mark.parametrize("name", datasets.ARCHIVES)
def test_every_archive_has_the_layout_also_as_a_file(name, made, tmp_path):
    folder = made(name)
    table = datasets.read(name, folder)
    contract(table, timed=name in TIMED)
    target = tmp_path / "new" / "out.parquet"
    assert datasets.convert(name, folder, target) == target
    assert pl.read_parquet(target).equals(table)
    assert [path.name for path in target.parent.iterdir()] == ["out.parquet"]
    assert table.equals(getattr(datasets, name)(str(folder)))


def test_telemanom_ranges_include_both_ends_and_lines_of_a_channel_add_up(made):
    table = datasets.msl(made("msl"))
    assert lengths(table) == {"C-1": (4, 6), "M-6": (4, 6)}
    assert hit(table, "C-1") == [0, 1, 3, 4]
    assert hit(table, "M-6") == [1, 5]
    assert not table.filter(split="train")["label"].any()
    assert column(table, "f01", "M-6", "test") == [0, 3, 6, 9, 12, 15]
    assert column(table, "f02", "C-1", "train") == [2, 5, 8, 11]


def test_telemanom_arrays_may_lie_under_data(made):
    folder = made("smap")
    before = datasets.smap(folder)
    (folder / "data").mkdir()
    for part in ("train", "test"):
        (folder / part).rename(folder / "data" / part)
    assert datasets.smap(folder).equals(before)
    assert hit(before, "P-1") == [2, 3]


def test_smd(made):
    table = datasets.smd(made("smd"))
    assert lengths(table) == {"machine-1-1": (3, 2), "machine-1-2": (3, 2)}
    assert hit(table, "machine-1-2") == [1]
    assert column(table, "f00", "machine-1-2", "train") == [10, 11, 10]
    assert column(table, "f01", "machine-1-1", "train") == pytest.approx([1.5, 0, -0.001])


def test_swat_has_stages_spaces_and_a_broken_label(made):
    table = datasets.swat(made("swat"))
    assert lengths(table) == {"swat": (2, 3)}
    assert hit(table, "swat") == [1, 2]
    assert column(table, "timestamp", "swat", "test") == [
        datetime(2015, 12, 28, 10),
        datetime(2015, 12, 28, 12, 0, 1),
        datetime(2015, 12, 28, 0, 0, 2),
    ]
    assert column(table, "timestamp", "swat", "train")[0] == datetime(2015, 12, 22, 16, 30)
    assert column(table, "f01", "swat", "train") == pytest.approx([124.3135, 124.392])


def test_swat_with_semicolons_and_decimal_commas(made):
    folder = made("swat")
    before = datasets.swat(folder)
    for path in folder.iterdir():
        path.write_text(path.read_text().replace(",", ";").replace(".", ","))
    assert datasets.swat(folder).equals(before)


def test_kpi_is_in_the_order_of_its_time(made):
    table = datasets.kpi(made("kpi"))
    assert lengths(table) == {"a": (1, 1), "b": (2, 1)}
    assert column(table, "value", "b", "train") == pytest.approx([0.5, 0.012])
    assert hit(table, "b", "train") == [0]
    assert hit(table, "a") == [0]
    assert column(table, "timestamp", "a", "train") == [datetime(2016, 10, 14, 16)]


def test_yahoo_reads_both_kinds_of_columns_and_no_collection(made):
    table = datasets.yahoo(made("yahoo"))
    assert lengths(table) == {"A1/real_1": (2, 3), "A4/A4Benchmark-TS1": (2, 2)}
    assert hit(table, "A1/real_1") == [2]
    assert hit(table, "A4/A4Benchmark-TS1", "train") == [0]
    assert hit(table, "A4/A4Benchmark-TS1") == []  # a change point is no anomaly
    assert column(table, "value", "A4/A4Benchmark-TS1", "test") == [-2, -3]


def test_ucr_counts_from_one_and_includes_both_ends(made):
    table = datasets.ucr(made("ucr"))
    assert lengths(table) == {"004_DISTORTED_a1": (3, 5), "204_CHARIS": (2, 2)}
    # Rows 4 and 5 of the whole series, of which the first three are train.
    assert hit(table, "004_DISTORTED_a1") == [1, 2]
    anomaly = table.filter("label", series="004_DISTORTED_a1")["value"].to_list()
    assert anomaly == [4.5, 5.5]
    assert hit(table, "204_CHARIS") == [0]
    assert column(table, "value", "204_CHARIS", "train") == [1, 2]


def test_nab_windows_include_both_ends_and_files_keep_their_order(made):
    table = datasets.nab(made("nab"))
    series = "realKnownCause/a"
    assert lengths(table) == {series: (4, 23), "artificialNoAnomaly/b": (3, 17)}
    assert hit(table, series, "train") == [2, 3]
    # 00:20 is row 4, the first test row; 02:10 is row 26, which the file has before row 25.
    assert hit(table, series) == [0, 21]
    assert column(table, "value", series, "test")[-2:] == [26, 25]
    assert hit(table, "artificialNoAnomaly/b") == []


def test_gecco_gaps_take_the_value_before(made):
    folder = made("gecco")
    table = datasets.gecco(folder / "1_gecco2018_water_quality.csv")
    assert table.equals(datasets.gecco(folder))
    assert lengths(table) == {"gecco2018": (2, 3)}
    whole = table.sort("timestamp")
    assert whole["f00"].to_list() == pytest.approx([6.5, 6.5, 6.7, 6.7, 6.9])
    assert whole["f01"].to_list() == pytest.approx([0.17, 0.17, 0.17, 0.17, 0.2])
    assert whole["label"].to_list() == [False, True, False, True, False]


def test_swan_gaps_and_labels(made):
    table = datasets.swan(made("swan"))
    assert column(table, "f00", "swan", "train") == [1, 1, 5]
    assert column(table, "f01", "swan", "train") == [4, 4, 6]
    assert hit(table, "swan") == [1]


def replaced(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def three_dimensions(folder):
    save(folder / "test" / "C-1.npy", np.zeros((2, 2, 2)))


def objects(folder):
    np.save(folder / "test" / "C-1.npy", np.array([[None]]), allow_pickle=True)


def narrow(folder):
    save(folder / "test" / "C-1.npy", np.zeros((6, 2)))


def infinite(folder):
    save(folder / "test" / "C-1.npy", np.full((6, 3), 1e39))


def no_value(folder):
    write(folder / WATER, ",Time,Tp,Cl,EVENT", "1,2016-08-03 09:49:00,6.5,NA,FALSE")


def renamed(old, new):
    return lambda folder: (folder / old).rename(folder / new)


def removed(name):
    return lambda folder: (folder / name).unlink()


def edited(name, old, new):
    return lambda folder: replaced(folder / name, old, new)


LISTED = "labeled_anomalies.csv"
NORMAL = "SWaT_Dataset_Normal_v1.csv"
WATER = "1_gecco2018_water_quality.csv"
REAL = "A1Benchmark/real_1.csv"
SHORT = "204_UCR_Anomaly_CHARIS_2_3_3.txt"
WINDOWS = "labels/combined_windows.json"
BAD = [
    ("msl", removed(LISTED), rf"{LISTED}: not found"),
    ("msl", removed("train/C-1.npy"), r"train/C-1\.npy: not found; expected an array"),
    ("msl", edited(LISTED, "[[5, 5]]", "[[5, 6]]"), r"M-6: \[5, 6\] is not in the 6 test rows"),
    ("msl", edited(LISTED, "[[5, 5]]", "[5, 6]"), r"expected anomaly_sequences as"),
    ("msl", edited(LISTED, "spacecraft", "craft"), r"expected a column 'spacecraft'"),
    ("msl", three_dimensions, r"C-1\.npy: expected an array.*shape \(2, 2, 2\)"),
    ("msl", objects, r"C-1\.npy: expected an array"),
    ("msl", narrow, r"train of 'C-1' has 3 features, expected 2"),
    ("msl", infinite, r"C-1\.npy: column 'column_0' has a value that is not finite"),
    ("smd", removed("test/machine-1-2.txt"), r"test/machine-1-2\.txt: not found"),
    ("smd", edited("test_label/machine-1-1.txt", "1", "2"), r"expected labels, there is '2'"),
    ("smd", edited("test_label/machine-1-1.txt", "1", "1\n0"), r"expected 2 rows.*there are 3"),
    ("smd", edited("train/machine-1-1.txt", "1.5", "x"), r"column_\d': expected numbers.*'x'"),
    ("swat", removed(NORMAL), r"expected the normal days"),
    ("swat", edited(NORMAL, "Normal/Attack", "y"), r"column 'Normal/Attack' in the first five"),
    ("swat", edited(NORMAL, "FIT101", "FIT102"), r"expected the columns \['FIT102', 'LIT101'\]"),
    ("swat", edited(NORMAL, "22/12/2015", "31/31/2015"), r"'Timestamp': expected a time"),
    ("kpi", removed("phase2_ground_truth.csv"), r"phase2_ground_truth\.hdf saved as CSV"),
    ("kpi", edited("phase2_train.csv", "0,a", "0,c"), r"expected the KPI IDs of the train rows"),
    ("kpi", edited("phase2_train.csv", "1476460800,7", ",7"), r"expected a time in every row"),
    ("yahoo", edited(REAL, "is_anomaly", "x"), r"'is_anomaly' or 'anomaly'"),
    ("ucr", renamed(SHORT, "notes.txt"), r"notes\.txt: expected a name as 001_UCR_Anomaly"),
    ("ucr", renamed(SHORT, "204_UCR_Anomaly_C_3_3_3.txt"), r"TRAIN < BEGIN <= END <= 4"),
    ("ucr", renamed(SHORT, "204_UCR_Anomaly_C_2_3_5.txt"), r"TRAIN < BEGIN <= END <= 4"),
    ("nab", edited(WINDOWS, "realKnownCause/a", "x/a"), r"expected windows of 'realKnownCause/a"),
    ("nab", edited(WINDOWS, '"2014-04-01 00:10', '"soon'), r"expected lists of \[first, last\]"),
    ("nab", removed(WINDOWS), r"expected the windows of all series"),
    ("gecco", edited(WATER, "EVENT", "EVENTS"), r"expected a column 'EVENT'"),
    ("gecco", no_value, r"column 'Cl' has no value"),
    ("gecco", lambda folder: write(folder / WATER), r"expected a CSV file"),
    ("gecco", lambda folder: write(folder / "gecco2018.csv"), r"expected one file with"),
    ("gecco", lambda folder: write(folder / WATER, ",Time,Tp,EVENT"), r"there are none"),
    ("swan", removed("NIPS_TS_Swan_test.npy"), r"NIPS_TS_Swan_test\.npy: not found"),
]


@pytest.mark.parametrize(("name", "damage", "message"), BAD)
def test_a_damaged_archive_is_an_error_that_names_the_file(name, damage, message, made):
    folder = made(name)
    damage(folder)
    with pytest.raises(ValueError, match=message) as raised:
        datasets.read(name, folder)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("name", datasets.ARCHIVES)
def test_no_folder_is_an_error_that_names_it(name, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        datasets.read(name, tmp_path / "nowhere")


def test_an_unknown_archive_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"`name` = 'MSL': no such archive; there are \['gecco'"):
        datasets.convert("MSL", tmp_path, tmp_path / "out.parquet")
    assert not list(tmp_path.iterdir())


def test_without_numpy_the_error_names_the_extra(made, monkeypatch):
    folder = made("msl")
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ModuleNotFoundError, match=r"polars-genias\[datasets\]"):
        datasets.msl(folder)


@pytest.mark.skipif(not (DATA / "msl.parquet").exists(), reason="no benchmark series here")
class TestPublishedLabels:
    """Public label files against tables that were made from the archives by other code."""

    def same(self, table, name, series):
        known = pl.read_parquet(DATA / f"{name}.parquet").filter(series=series)
        assert table.equals(known.select(table.columns))

    def parts(self, name, series):
        known = pl.read_parquet(DATA / f"{name}.parquet").filter(series=series)
        return known.filter(split="train"), known.filter(split="test")

    def test_telemanom(self, tmp_path):
        for split, part in zip(("train", "test"), self.parts("msl", "C-1"), strict=True):
            save(tmp_path / split / "C-1.npy", part.select(datasets.features(part)).to_numpy())
        write(
            tmp_path / LISTED,
            "chan_id,spacecraft,anomaly_sequences,class,num_values",
            'C-1,MSL,"[[550, 750], [2100, 2210]]","[point, contextual]",2264',
        )
        self.same(datasets.msl(tmp_path), "msl", "C-1")

    def test_ucr(self, tmp_path):
        whole = pl.concat(self.parts("ucr", "004_DISTORTEDBIDMC1"))
        name = "004_UCR_Anomaly_DISTORTEDBIDMC1_2500_5400_5600.txt"
        write(tmp_path / name, *(f"  {value:.9e}" for value in whole["value"]))
        self.same(datasets.ucr(tmp_path), "ucr", "004_DISTORTEDBIDMC1")

    def test_nab(self, tmp_path):
        series = "artificialWithAnomaly/art_daily_flatmiddle"
        whole = pl.concat(self.parts("nab", series))
        path = tmp_path / "data" / f"{series}.csv"
        path.parent.mkdir(parents=True)
        whole.select("timestamp", "value").write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S")
        windows = [["2014-04-10 07:15:00.000000", "2014-04-11 16:45:00.000000"]]
        write(tmp_path / WINDOWS, json.dumps({f"{series}.csv": windows}))
        self.same(datasets.nab(tmp_path), "nab", series)
