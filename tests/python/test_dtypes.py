"""Every dtype in every role; the table of docs/dtypes.md is what these tests find.

`python tests/python/test_dtypes.py` prints it.
"""

from __future__ import annotations

import datetime as dt
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.exceptions import ComputeError

import polars_genias as pg
from conftest import FAST

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "dtypes.md"
ROWS = 40
MODEL = {name: FAST[name] for name in ("steps", "channels", "latent", "batch_size")} | {"window": 8}
SCORE = {"detector": "amplitude", **MODEL}
WAVE = pl.Series("x", [math.sin(t / 3) for t in range(ROWS)])
NUMBERS = [
    f"{kind}{size}"
    for kind, sizes in (
        ("Int", (8, 16, 32, 64, 128)),
        ("UInt", (8, 16, 32, 64, 128)),
        ("Float", (16, 32, 64)),
    )
    for size in sizes
]
MINUTE, QUARTER = dt.timedelta(minutes=1), dt.timedelta(minutes=15)


def quarters(numbers: list[int]) -> pl.Series:
    """Times a quarter of an hour apart, over the night in which Berlin's clocks go forward."""
    start = dt.datetime(2024, 3, 31)
    return pl.Series([start + n * QUARTER for n in numbers], dtype=pl.Datetime("us"))


def in_berlin(numbers: list[int]) -> pl.Series:
    utc = quarters(numbers).dt.replace_time_zone("UTC")
    return utc.dt.convert_time_zone("Europe/Berlin")


def number(dtype: str, numbers: list[int]) -> pl.Series:
    return pl.Series(numbers).cast(getattr(pl, dtype))


def text(numbers: list[int]) -> pl.Series:
    return pl.Series([f"c{n:02}" for n in numbers])


def known() -> dict[str, tuple[Callable[[list[int]], pl.Series], Any]]:
    """By name: a column of the dtype, in the order of some numbers, and the step between two."""
    found: dict[str, tuple[Callable[[list[int]], pl.Series], Any]] = {}
    for name in NUMBERS:
        if hasattr(pl, name):
            found[name] = (partial(number, name), 1)
    enum = pl.Enum([f"c{n:02}" for n in range(ROWS)])
    found |= {
        "Decimal": (lambda n: pl.Series(n).cast(pl.Decimal(20, 3)), 1),
        "Boolean": (lambda n: pl.Series([k >= ROWS // 2 for k in n]), 1),
        "Date": (lambda n: quarters([96 * k for k in n]).dt.date(), dt.timedelta(days=1)),
        "Time": (lambda n: pl.Series([dt.time(k // 60, k % 60) for k in n]), MINUTE),
        "Datetime": (quarters, QUARTER),
        "Datetime (ms)": (lambda n: quarters(n).cast(pl.Datetime("ms")), QUARTER),
        "Datetime (ns)": (lambda n: quarters(n).cast(pl.Datetime("ns")), QUARTER),
        "Datetime (time zone)": (in_berlin, QUARTER),
        "Duration": (lambda n: pl.Series([k * MINUTE for k in n]), MINUTE),
        "Duration (ns)": (
            lambda n: pl.Series([k * MINUTE for k in n]).cast(pl.Duration("ns")),
            MINUTE,
        ),
        "String": (text, 1),
        "Binary": (lambda n: text(n).cast(pl.Binary), 1),
        "Categorical": (lambda n: text(n).cast(pl.Categorical), 1),
        "Enum": (lambda n: text(n).cast(enum), 1),
        "List": (lambda n: pl.Series([[k, k] for k in n]), 1),
        "Array": (lambda n: pl.Series([[k, k] for k in n], dtype=pl.Array(pl.Int64, 2)), 1),
        "Struct": (lambda n: pl.Series([{"a": k, "b": str(k)} for k in n]), 1),
        "Null": (lambda n: pl.Series([None] * len(n)), 1),
        "Object": (lambda n: pl.Series([object() for _ in n], dtype=pl.Object), 1),
    }
    if hasattr(pl, "BaseExtension"):
        found["Extension"] = (lambda n: pl.Series(n).ext.to(minutes()), 1)
    return found


def minutes() -> pl.DataType:
    """An extension type. Polars before 2 reads one that it does not know as its storage."""
    if pl.get_extension_type("tests.minutes") is None:
        made = type("Minutes", (pl.BaseExtension,), {})
        pl.register_extension_type("tests.minutes", made)
    return pl.get_extension_type("tests.minutes")("tests.minutes", pl.Int64)


KNOWN = known()


def refused(call: Callable[[], Any], dtype: pl.DataType | str | None = None) -> bool:
    """Whether a call fails; the error then names the column and its dtype."""
    try:
        call()
    except (ValueError, ComputeError) as error:
        message = str(error)
        assert "panic" not in message
        assert "`c`" in message or "'c'" in message, message
        assert dtype is None or str(dtype) in message, message
        return True
    return False


def frame_verbs(frame: pl.DataFrame, **roles: Any) -> list[Callable[[], pl.DataFrame]]:
    """Each frame verb as a lazy query."""
    at = frame.lazy().genias
    queries = [
        lambda: at.fit(**SCORE, **roles),
        lambda: at.generate(**MODEL, **roles),
        lambda: at.inject(length=4, **roles),
        lambda: at.events(**MODEL, **roles),
        lambda: at.pairs(window_stride=4, **MODEL, **roles),
        lambda: at.score(**SCORE, **roles),
        lambda: at.label(**SCORE, **roles),
    ]
    return [lambda query=query: query().collect() for query in queries]


def column_verbs(**order: Any) -> list[pl.Expr]:
    """Each verb of a column whose rows are the input's."""
    c = pl.col("c").genias
    return [
        c.generate(**MODEL, **order),
        c.inject(length=4, **order),
        c.label(**SCORE, **order),
        c.reconstruct(**MODEL, **order),
        c.score(**SCORE, **order),
    ]


def round_trip(result: pl.DataFrame, folder: Path) -> None:
    """Parquet gives back what was written."""
    path = folder / "result.parquet"
    pg.sink_parquet(result.lazy(), path)
    back = pl.read_parquet(path)
    assert back.schema == result.schema
    assert back.equals(result, null_equal=True)


def as_feature(name: str, folder: Path) -> str:
    column = KNOWN[name][0](list(range(ROWS))).alias("c")
    frame = pl.DataFrame({"g": [0, 1] * (ROWS // 2)}).with_columns(column)
    named = str(column.dtype).split("(")[0] if name != "Object" else None
    answers = {refused(call, named) for call in frame_verbs(frame, features="c")}
    for expr in column_verbs():
        calls = (
            lambda expr=expr: frame.lazy().select(expr).collect(),
            lambda expr=expr: frame.lazy().select(expr.over("g")).collect(),
        )
        # In expressions an extension type is read as what it is stored as.
        if name != "Extension":
            answers |= {refused(call) for call in calls if name != "Struct"}
    assert len(answers) == 1, answers
    if answers == {True}:
        return "no"
    out = frame.genias.generate(features="c", **MODEL)
    assert out["c_synthetic"].dtype == column.dtype
    mask = out["c_mask"].fill_null(value=False)
    assert out.filter(~mask)["c_synthetic"].equals(out.filter(~mask)["c"], null_equal=True)
    round_trip(out, folder)
    return "yes"


def as_key(name: str, folder: Path) -> str:
    numbers = [20 * (t % 2) for t in range(ROWS)]
    frame = pl.DataFrame([WAVE, pl.Series("k", numbers)]).with_columns(c=KNOWN[name][0](numbers))
    dtype = frame.schema["c"]
    answers = {refused(call, dtype) for call in frame_verbs(frame, features="x", by="c")}
    assert len(answers) == 1, answers
    if answers == {True}:
        return "no"
    number = {"features": "x", "by": "k", **SCORE}
    if name == "Null":
        number.pop("by")
    expected = frame.genias.score(**number)["anomaly_score"]
    models = frame.genias.fit(features="x", by="c", **SCORE)
    for result in (
        frame.genias.score(features="x", by="c", **SCORE),
        frame.genias.score(features="x", by="c", models=models),
        frame.genias.score(features="x", by="c", models=models.lazy()),
    ):
        assert result["anomaly_score"].equals(expected)
    over = frame.with_columns(pg.score("x", **SCORE).over("c"))
    assert over["x"].equals(expected)
    tables = [call() for call in frame_verbs(frame, features="x", by="c")]
    for table in tables:
        assert table.schema["c"] == dtype
        round_trip(table, folder)
    assert models["c"].equals(frame["c"].unique(maintain_order=True), null_equal=True)
    return "yes"


def as_order(name: str, folder: Path) -> str:
    frame = pl.DataFrame([WAVE, pl.Series("t", range(ROWS))])
    frame = frame.with_columns(c=KNOWN[name][0](list(range(ROWS))))
    shuffled = frame.select(pl.all().gather([17 * t % ROWS for t in range(ROWS)]))
    dtype = frame.schema["c"]
    answers = {refused(call, dtype) for call in frame_verbs(shuffled, features="x", order_by="c")}
    assert len(answers) == 1, answers
    if answers == {True}:
        return "no"
    if name not in ("Boolean", "Null"):  # equal values keep the order in which they come
        # Every window scores: which ones else do depends on what a column tells about the clock.
        every = {"detector": "reconstruction", "score_stride": 1, **MODEL}
        options = {"features": "x", **every}
        expected = shuffled.genias.score(order_by="t", **options)["anomaly_score"]
        found = shuffled.lazy().genias.score(order_by="c", **options).collect()
        assert found["anomaly_score"].equals(expected)
        expr = pg.score("x", order_by="c", **every)
        over = shuffled.with_columns(expr.over(pl.lit(1)))
        assert over["x"].equals(expected)
    events = shuffled.genias.events(features="x", order_by="c", **MODEL)
    assert events.schema["c_start"] == events.schema["c_end"] == dtype
    round_trip(events, folder)
    return "yes"


def with_gap(name: str, _folder: Path) -> str:
    make, step = KNOWN[name]
    numbers = [t for t in range(ROWS) if t != ROWS // 2]
    frame = pl.DataFrame([WAVE.gather(numbers)]).with_columns(c=make(numbers))
    options = {"features": "x", "order_by": "c", "max_gap": step, "window_stride": 1, **MODEL}
    if refused(lambda: frame.genias.pairs(**options)):
        return "no"
    starts = frame.genias.pairs(**options)["start"].to_list()
    assert starts == [*range(13), *range(20, 32)]
    tight = {**options, "max_gap": step * 0.999}
    assert frame.genias.pairs(**tight).is_empty()
    return "timedelta" if isinstance(step, dt.timedelta) else "number"


def beside(name: str, folder: Path) -> str:
    frame = pl.DataFrame([WAVE]).with_columns(c=KNOWN[name][0](list(range(ROWS))))
    for call in frame_verbs(frame, features="x"):
        result = call()
        if "c" in result.columns:
            assert result.columns[:2] == ["x", "c"]
            assert result.schema["c"] == frame.schema["c"]
            if name == "Object":
                assert result["c"].to_list() == frame["c"].to_list()
                continue
            assert result["c"].equals(frame["c"], null_equal=True)
            round_trip(result, folder)
    return "yes"


ROLES = {
    "feature": as_feature,
    "`by`": as_key,
    "`order_by`": as_order,
    "`max_gap`": with_gap,
    "additional": beside,
}


def page_rows() -> dict[str, list[str]]:
    """The table of the page: cells by dtype."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["dtype", *ROLES]
    return {row[0]: row[1:] for row in cells[1:]}


# What Polars 1.30 itself refuses: joins of 128 bits and Parquet of Int128, distinct arrays, and an
# Enum that comes back from a plugin (as a Categorical).
REFUSED_BY_1_30 = ("Int128", "Decimal", "Enum", "Array")


@pytest.mark.parametrize("name", KNOWN)
def test_the_table_of_dtypes(name, tmp_path):
    if pl.__version__.startswith("1.30") and name in REFUSED_BY_1_30:
        pytest.skip(f"Polars 1.30 cannot join, write or group {name} columns")
    assert [role(name, tmp_path) for role in ROLES.values()] == page_rows()[name]


def test_the_table_has_no_other_dtype():
    # Older Polars have fewer of them.
    assert set(KNOWN) <= set(page_rows())
    if hasattr(pl, "Extension") and hasattr(pl, "Float16"):
        assert list(KNOWN) == list(page_rows())


@pytest.mark.skipif("Extension" not in KNOWN, reason="Polars without extension types")
def test_structs_with_an_extension_field_reach_the_plugin():
    """A panic of the import, where the plugin does not know the type."""
    frame = pl.DataFrame([WAVE]).with_columns(c=KNOWN["Extension"][0](range(ROWS)))
    both = pl.struct("x", "c")
    for expr in (both.genias.score(**SCORE), both.genias.inject(length=4)):
        assert refused(lambda expr=expr: frame.select(expr), "ext[tests.minutes]")
    orders = (pl.struct("c", "x"), pl.struct(pl.col("c").ext.storage(), "x"))
    extended, plain = (frame.select(pg.score("x", order_by=by, **SCORE)) for by in orders)
    assert extended.equals(plain)


def test_gaps_are_exact_beyond_the_digits_of_a_float():
    """At 1.7e18 nanoseconds a float of 64 bits has steps of 256."""
    numbers = [t for t in range(ROWS) if t != ROWS // 2]
    start = 1_700_000_000_000_000_000
    for dtype in (pl.Int64, pl.UInt64, pl.Decimal(38, 0)):
        frame = pl.DataFrame([WAVE.gather(numbers)]).with_columns(
            c=pl.Series([start + 10 * n for n in numbers]).cast(dtype)
        )
        options = {"features": "x", "order_by": "c", "window_stride": 1, **MODEL}
        starts = frame.genias.pairs(max_gap=10, **options)["start"].to_list()
        assert starts == [*range(13), *range(20, 32)]
        assert frame.genias.pairs(max_gap=9, **options).is_empty()


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        print("| dtype | " + " | ".join(ROLES) + " |")
        print("|---|" + "---|" * len(ROLES))
        for name in KNOWN:
            print(f"| {name} | " + " | ".join(r(name, Path(folder)) for r in ROLES.values()) + " |")
