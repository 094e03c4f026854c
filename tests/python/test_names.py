"""Column names and keys are data: any string is one, through every verb and the command line.

`python tests/python/test_names.py 2000` tries so many random names, keys and types.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import shlex
import sys
import tempfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polars_genias as pg
from polars_genias import cli
from polars_genias._names import OWN, column
from polars_genias.cli import _inputs, _keys, _quoting

TINY = {
    "window": 8,
    "steps": 1,
    "channels": 2,
    "levels": 1,
    "latent": 2,
    "batch_size": 8,
    "detector": "reconstruction",
    "calibrate": False,
}
GENERATE = {name: TINY[name] for name in TINY if name in pg.GenerateOptions.__annotations__}
ROWS = 16

# Patterns of Polars, syntax of paths and of the command line, names of the package's own columns.
PATTERNS = ["*", "^x.*$", "^.*$", "^", "$", "^$", "x1", "xx"]
SYNTAX = [
    "",
    " ",
    "  a",
    "a ",
    "~",
    "=",
    "a=b",
    "a,b",
    'a"b',
    '"',
    "'",
    "`",
    "a.b",
    "/",
    "..",
    "-x",
]
LETTERS = ["é", "e\u0301", "ﬁ", "İ", "\n", "\t", "\x7f", "%", "%2A", "a%20b", "\\", "Ω" * 20]
OURS = ["model", "features", "start", "id", "length", "kind", "psi", "is_anomaly", "anomaly_id"]
OURS += ["anomaly_score", "anomaly_label", "mask", "normal", "rows", "len", "literal", "t_start"]
NAMES = st.one_of(
    st.sampled_from([*PATTERNS, *SYNTAX, *LETTERS, *OURS]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
)
TEXTS = st.one_of(
    st.sampled_from(["007", "7", "1.10", "1.1", "1e5", "true", "null", "NaN", _keys.NULL]), NAMES
)
KEYS = st.one_of(
    st.lists(st.one_of(st.none(), TEXTS), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([0.0, 1.5, 1e300, math.nan, math.inf]), min_size=1, unique=True),
    st.lists(st.one_of(st.none(), st.dates()), min_size=1, max_size=3, unique=True),
    st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
)
DTYPES = st.sampled_from([pl.Float64, pl.Float32, pl.Int64, pl.Int8, pl.UInt16])


@st.composite
def tables(draw):
    """Rows with columns of any names, and which is which."""
    names = draw(st.lists(NAMES, min_size=5, max_size=5, unique=True))
    keys = draw(KEYS)
    key, order, one, other, beside = names
    size = ROWS * len(keys)
    values = pl.Series([(7 * t) % 23 for t in range(size)])
    dtype = draw(DTYPES)
    rows = pl.DataFrame(
        {
            key: [value for value in keys for _ in range(ROWS)],
            order: list(range(size)),
            one: values.cast(dtype),
            other: (values * 5 % 11).cast(pl.Float64),
            beside: [f"row {t}" for t in range(size)],
        }
    )
    return rows, {"by": [key], "order_by": [order], "features": [one, other]}


def refused_names(roles, verb):
    """Names that the tables of a verb have for columns of their own."""
    added = {
        "fit": ["model"],
        "generate": ["is_anomaly", "anomaly_id", "anomaly_kind", "anomaly_strength"],
        "inject": ["is_anomaly", "anomaly_id", "anomaly_kind", "anomaly_strength"],
        "score": ["anomaly_score"],
        "label": ["anomaly_label"],
        "events": [
            *("id", "start", "length", "features", "strength", "asked", "unable"),
            *("kind", "cluster", "psi", "distance"),
        ],
        "pairs": ["start", "normal", "anomalous", "mask", "kind"],
    }[verb]
    of_features = [f"{name}{end}" for name in roles["features"] for end in ("_synthetic", "_mask")]
    times = [f"{name}{end}" for name in roles["order_by"] for end in ("_start", "_end")]
    return {*added, "redraws", "fallback", *of_features, *times}


def called(verb, frame, roles, **options):
    """The verb's result, lazily; None where it has refused a name that it needs itself."""
    try:
        result = getattr(pg, verb)(frame.lazy(), **roles, **options)
        found = result.collect()
    except ValueError as error:
        refused = [name for name in refused_names(roles, verb) if repr(name) in str(error)]
        assert refused, error
        return None
    assert found.schema == result.collect_schema()
    return found


def through_the_verbs(rows, roles):
    key = roles["by"][0]
    # Without a name: Series, too, read theirs as patterns.
    keys = rows[key].alias("")
    series = keys.n_unique()
    models = called("fit", rows, roles, **TINY)
    tables = {"events": GENERATE | {"length": 4}, "pairs": GENERATE}
    kept = {"generate": GENERATE | {"length": 4}, "score": {}, "label": {}, "inject": {"count": 1}}
    if models is None:  # the key is called as the column of models
        models = pg.fit(rows, **roles, name="m", **TINY)
    assert models.height == series
    assert models[key].equals(keys.unique(maintain_order=True))
    assert models.select(pl.last().null_count()).item() == 0
    for verb, options in kept.items():
        given = {} if verb == "inject" else {"models": models.lazy()}
        out = called(verb, rows, roles, **options, **given)
        if out is not None:
            assert_same(out, rows)
            assert out.width > rows.width
    for verb, options in tables.items():
        out = called(verb, rows, roles, models=models, **options)
        if out is not None and out.height:
            assert out.columns[0] == key
            assert set(map(repr, out[key])) <= set(map(repr, keys))


def through_the_command_line(rows, roles, folder):
    """A partitioned folder, and back, with the keys as they were."""
    key, order = roles["by"][0], roles["order_by"][0]
    rows.write_parquet(folder / "rows.parquet")
    listed = {name: ",".join(map(_quoting.quoted, names)) for name, names in roles.items()}
    given = [f"--{name.replace('_', '-')}={text}" for name, text in listed.items()]
    partition = f"--partition-by={listed['by']}"
    inject = ["inject", folder / "rows.parquet", f"{folder}/a/", *given, partition, "--count=1"]
    if not run([*inject, "--length=3"], roles, "inject"):
        return
    # Where there is no key to look at its text, its type is named.
    types = [f"--key-types={listed['by']}={rows[key].dtype}"] if rows[key].dtype != pl.Null else []
    models, scored = folder / "models.parquet", folder / "scored.parquet"
    fit = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if value]
    fit[-1:] = [fit[-1], "--no-calibrate", "--name=m"]
    assert run(["fit", f"{folder}/a", models, *given, *types, *fit], roles, "fit")
    assert pl.read_parquet(models).height == rows[key].alias("").n_unique()
    score = ["score", f"{folder}/a", scored, *given, *types, f"--models={models}", "--json"]
    if not run(score, roles, "score"):
        return
    back = pl.read_parquet(scored)
    number = back.columns.index(order)
    back = back[back.to_series(number).alias("").arg_sort()]
    dtype = pl.String if rows[key].dtype == pl.Null else rows[key].dtype
    assert_same(back, rows.with_columns(rows[key].alias("").cast(dtype).alias(key)))


def assert_same(found, rows):
    """Whether all columns of the rows came back; `assert_frame_equal` reads names as patterns."""
    for name in rows.columns:
        assert found[name].dtype == rows[name].dtype
        assert found[name].alias("").equals(rows[name].alias(""), null_equal=True)


def run(arguments, roles, verb):
    """Whether a command has worked; if not, a name was refused that it needs itself."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = cli.main([str(argument) for argument in arguments])
    if code:
        refused = [name for name in refused_names(roles, verb) if repr(name) in said.getvalue()]
        assert refused, (shlex.join(map(str, arguments)), said.getvalue())
    return code == 0


def try_one(table):
    rows, roles = table
    pg.clear_cache()
    through_the_verbs(rows, roles)
    with tempfile.TemporaryDirectory() as folder:
        through_the_command_line(rows, roles, Path(folder))


QUICK = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(QUICK, max_examples=25)
@given(tables())
def test_any_name_and_key_passes_through_every_verb(table):
    try_one(table)


@pytest.mark.many
@settings(QUICK, max_examples=300)
@given(tables())
def test_many_names_and_keys_pass_through_every_verb(table):
    try_one(table)


# Quoting.


@settings(QUICK, max_examples=300)
@given(st.lists(st.text(), min_size=1))
def test_quoted_names_come_back(names):
    assert _quoting.names(",".join(map(_quoting.quoted, names))) == names


@settings(QUICK, max_examples=300)
@given(st.lists(st.tuples(st.text(), st.one_of(st.none(), st.text())), min_size=1))
def test_quoted_pairs_come_back(pairs):
    def text(first, second):
        end = "" if second is None else f"={_quoting.quoted(second)}"
        return _quoting.quoted(first) + end

    assert _quoting.pairs(",".join(text(*pair) for pair in pairs)) == pairs


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cpu", ["cpu"]),
        ("cpu,memory", ["cpu", "memory"]),
        (" cpu , free memory ", ["cpu", "free memory"]),
        ('"a,b", c', ["a,b", "c"]),
        ('"say ""hi"""', ['say "hi"']),
        ('""', [""]),
        ('" a"', [" a"]),
        ("a=b", ["a=b"]),
        ("*,^x.*$", ["*", "^x.*$"]),
        ('5" disk', ['5" disk']),
    ],
)
def test_names_between_commas(text, names):
    assert _quoting.names(text) == names


@pytest.mark.parametrize("text", ["", ",", "a,", ",a", "a,,b", '"a', '"a"b', '"a" "b"', " "])
def test_what_is_no_list_of_names(text):
    with pytest.raises(Exception, match="not a comma-separated list of names"):
        _quoting.names(text)


def test_pairs_of_names():
    text = 'a,b=c,"d=e",f="g=h","i,j"=k'
    expected = [("a", None), ("b", "c"), ("d=e", None), ("f", "g=h"), ("i,j", "k")]
    assert _quoting.pairs(text) == expected


# Names that only look like something else.


def test_patterns_are_names():
    rows = pl.DataFrame({"^x.*$": [1.0, 2.0] * 10, "x1": [3.0] * 20, "*": [0, 1] * 10})
    out = pg.inject(rows, features="^x.*$", by="*", kind="mean", count=1, length=3)
    assert out["x1"].equals(rows["x1"])
    assert "^x.*$_synthetic" in out.columns
    assert out.filter("is_anomaly").height == 6
    if pl.__version__.startswith("1.30."):
        with pytest.raises(ValueError, match="reads this name as a pattern"):
            pg.auc_roc("^x.*$", "*")
    else:
        assert rows.select(column("^x.*$").sum()).item() == 30.0
        assert rows.select(pg.windows("^x.*$", 2)).to_series().len() == 19
        assert rows.select(pg.auc_roc("^x.*$", "*")).item() == 1.0


@pytest.mark.parametrize("verb", ["fit", "pairs", "events", "score"])
def test_a_key_that_is_called_as_a_column_of_the_result(verb):
    name = {"fit": "model", "pairs": "start", "events": "length", "score": "anomaly_score"}[verb]
    rows = pl.DataFrame({name: ["a"] * 20, "x": [float(t % 5) for t in range(20)]})
    given = {"by": name, "features": "x"} | (GENERATE if verb in ("pairs", "events") else TINY)
    with pytest.raises(ValueError, match=repr(name)):
        getattr(pg, verb)(rows, **given)
    if verb in ("fit", "score"):
        assert name in getattr(pg, verb)(rows, name="other", **given).columns


def test_the_package_keeps_some_names_to_itself():
    rows = pl.DataFrame({f"{OWN}model": [1.0] * 20, "x": [2.0] * 20})
    with pytest.raises(ValueError, match=f"column '{OWN}model'"):
        pg.inject(rows, features="x")
    with pytest.raises(ValueError, match=f"column '{OWN}x'"):
        pg.score(rows.rename({f"{OWN}model": "y"}), name=f"{OWN}x", **TINY)


@pytest.mark.parametrize("role", ["by", "order_by", "features"])
def test_a_column_twice_in_a_role(role):
    rows = pl.DataFrame({"x": [1.0] * 20, "y": [2.0] * 20})
    with pytest.raises(ValueError, match=f"parameter `{role}`: column 'x' is given twice"):
        pg.inject(rows, **{"features": ["y"]} | {role: ["x", "x"]})


def test_results_that_would_be_called_alike():
    rows = pl.DataFrame({"x": [1.0, 2.0] * 10})
    with pytest.raises(ValueError, match="'x_mask' would be made twice"):
        pg.inject(rows, suffix="_mask")
    with pytest.raises(ValueError, match="'x' exists already"):
        pg.inject(rows, suffix="")


def test_models_of_another_type_of_key():
    rows = pl.DataFrame({"host": ["7"] * 20, "x": [float(t % 5) for t in range(20)]})
    models = pg.fit(rows, by="host", **TINY).with_columns(pl.col("host").cast(pl.Int64))
    with pytest.raises(ValueError, match="column 'host' is Int64 in the table of models"):
        pg.score(rows, by="host", models=models)


def test_group_keys_do_not_merge():
    keys = ["", None, "e\u0301", "é", " ", "a", "A", "a "]
    rows = pl.DataFrame(
        {"k": [key for key in keys for _ in range(20)], "x": [t % 7 for t in range(20)] * len(keys)}
    )
    assert pg.fit(rows, by="k", features="x", **TINY)["k"].to_list() == keys
    numbers = rows.with_columns(k=pl.int_range(pl.len()) // 20)
    numbers = numbers.with_columns(k=pl.when(pl.col("k") == 0).then(math.nan).otherwise("k"))
    numbers = numbers.with_columns(k=pl.when(pl.col("k") == 1).then(None).otherwise("k"))
    models = pg.fit(numbers, by="k", features="x", **TINY)
    assert models.height == len(keys)
    assert pg.score(numbers, by="k", features="x", models=models)["anomaly_score"].null_count() == 0


# Keys of folders.


@pytest.mark.parametrize(
    ("texts", "dtype"),
    [
        (["7", "12"], pl.Int64),
        (["7", "007"], pl.String),
        (["1.5", "2.25"], pl.Float64),
        (["1.1", "1.10"], pl.String),
        (["1e5", "100000"], pl.String),
        (["-0.0", "0.0"], pl.String),
        (["9223372036854775808"], pl.String),
        (["true", "false"], pl.Boolean),
        (["True"], pl.String),
        (["2026-01-05"], pl.Date),
        (["2026-1-5"], pl.String),
        ([None, "3"], pl.Int64),
        ([None], pl.String),
        (["", "3"], pl.String),
    ],
)
def test_types_of_keys_give_their_text_back(texts, dtype):
    values = _keys.typed("k", texts, {})
    assert values.dtype == dtype
    assert values.cast(pl.String).to_list() == texts


@settings(QUICK, max_examples=200)
@given(st.lists(st.one_of(st.none(), TEXTS), min_size=1, unique=True), NAMES)
def test_texts_of_keys_come_back(texts, key):
    for text in texts:
        path = f"/data/{_keys.folder(key, text)}/0.parquet"
        assert path.count("/") == 3
        assert "/." not in path
        assert _keys.keys_in(path) == {key: text}
    values = _keys.typed(key, texts, {})
    assert values.n_unique() == len(texts)
    assert values.cast(pl.String).to_list() == texts


def test_key_types(tmp_path):
    for day, host in (("2026-01-05", "007"), ("2026-01-06", "008")):
        folder = tmp_path / f"day={day}" / f"host={host}"
        folder.mkdir(parents=True)
        pl.DataFrame({"x": [1.0]}).write_parquet(folder / "0.parquet")
    sources = _inputs.find([str(tmp_path)])
    types = {"day": pl.String(), "host": pl.Int32()}
    rows = _inputs.scan(sources, types=types).collect()
    assert dict(rows.schema) == {"x": pl.Float64(), **types}
    assert rows["host"].to_list() == [7, 8]
    assert _inputs.scan(sources).collect()["day"].to_list() == [date(2026, 1, 5), date(2026, 1, 6)]
    with pytest.raises(ValueError, match="host=007 is no Date"):
        _inputs.scan(sources, types={"host": pl.Date()})
    with pytest.raises(ValueError, match="'rack': no such key"):
        _inputs.scan(sources, types={"rack": pl.String()})
    out = tmp_path.parent / f"{tmp_path.name}.parquet"
    given = ["score", tmp_path, out, "--dry-run", "--json", "--window=8", "--key-types"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert cli.main([*map(str, given), "host=Int32,day=String"]) == 0
    assert json.loads(said.getvalue())["columns"]["host"] == "Int32"
    with pytest.raises(SystemExit):
        cli.main([*map(str, given), "host=Int33"])


if __name__ == "__main__":
    settings(QUICK, max_examples=int(sys.argv[1]), derandomize=False)(given(tables())(try_one))()
