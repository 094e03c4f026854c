"""Models as arguments: bytes, files, columns and tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import _genias
from polars_genias import _names as names
from polars_genias._foreign import to_polars
from polars_genias._plugin import plugin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars_genias._types import IntoModel, IntoModels, Table

_FIRST = f"{names.OWN}first"
MODEL = f"{names.OWN}model"
_PARQUET_MAGIC = b"PAR1"
COUNT = f"{names.OWN}count"
BACKBONE = "_backbone"
"""End of the name of the column beside a column of models with the VAE that they share."""
_MOST_STARTS = 64
"""Largest number of different backbones that new models can start from."""


def model_argument(model: IntoModel | None) -> pl.Expr | None:
    """A model as the argument of an expression; a string is a column name, as in Polars."""
    if model is None or isinstance(model, pl.Expr):
        return model
    if isinstance(model, str):
        return names.column(model)
    return pl.lit(_read(model), dtype=pl.Binary)


@dataclass(frozen=True)
class WithModels:
    """Rows, and the argument that reads their models."""

    frame: pl.LazyFrame
    model: pl.Expr | None
    keyed: bool = False
    """Whether the argument is a table, as a struct of keys and models."""


def with_models(
    frame: pl.LazyFrame,
    models: IntoModels | None,
    by: Sequence[str],
    shields: Mapping[str, str] | None = None,
    keys: pl.DataFrame | None = None,
) -> WithModels:
    """`frame` joined with its models, and the argument that reads them.

    `shields` are the names of keys in `frame`, where they differ from `by`. `keys` are those of the
    groups in `frame`, where they are known.

    The joined column is named `MODEL`; rows keep their order. A join may copy values, and a model
    has megabytes: for a DataFrame only row numbers are joined, and for a lazy table only the first
    rows get a model. With `keys` nothing is joined.
    """
    if models is None or isinstance(models, pl.Expr):
        return WithModels(frame, models)
    if isinstance(models, (str, Path)):
        models = opened(Path(models))
    if isinstance(models, bytes):
        # Polars copies a literal value many times, but not a literal Series.
        return WithModels(frame, pl.lit(pl.Series(MODEL, [models], dtype=pl.Binary)))
    models = to_polars(models, "models")
    table = _joinable(frame, models.lazy(), by, shields or {})
    by = [(shields or {}).get(name, name) for name in by]
    if keys is not None:
        table = _near(table, keys)
        found = keys.lazy().join(table, on=by, how="left", nulls_equal=True, maintain_order="left")
        own = _one_per_key(found.collect(), by)
        return WithModels(frame, pl.lit(own.to_struct(MODEL)), keyed=True)
    if isinstance(models, pl.DataFrame):
        return _with_numbers(frame, _one_per_key(table.collect(), by), by)
    table = table.map_batches(
        partial(_one_per_key, by=by),
        predicate_pushdown=False,
        projection_pushdown=False,
        slice_pushdown=False,
    )
    first = pl.struct(by).is_first_distinct() if by else pl.int_range(pl.len()) == 0
    joined = frame.with_columns(first.alias(_FIRST)).join(
        table.with_columns(pl.lit(value=True).alias(_FIRST)),
        on=[*by, _FIRST],
        how="left",
        maintain_order="left",
        nulls_equal=True,
    )
    return WithModels(joined.drop(_FIRST), pl.col(MODEL))


def at_hand(models: IntoModels | None, by: Sequence[str], folder: Path) -> IntoModels | None:
    """The same models, a few of which can be read without the others.

    The result of a query, and a file that has to be decompressed, are written to `folder` once.
    """
    if isinstance(models, (str, Path)):
        models = opened(Path(models))
    if models is None or isinstance(models, (bytes, pl.Expr)):
        return models
    table = to_polars(models, "models")
    if isinstance(table, pl.DataFrame):
        return table
    column = model_column(table, by)
    beside = companion(table, column)
    columns = [*by, column, *([] if beside is None else [beside])]
    path = folder / "models.arrow"
    table.select(names.column(name) for name in columns).sink_ipc(path, compression="uncompressed")
    return pl.scan_ipc(path)


def _near(table: pl.LazyFrame, keys: pl.DataFrame) -> pl.LazyFrame:
    """The rows of `table` with one of the first keys: unlike a join, this reaches the source."""
    first = keys.columns[0]
    if not is_plain(keys.schema[first]) or table.collect_schema()[first] != keys.schema[first]:
        return table
    return table.filter(is_among(pl.col(first), keys[first]))


def is_among(column: pl.Expr, keys: pl.Series) -> pl.Expr:
    """Whether a column has one of some keys; nulls are equal."""
    return column.is_in(keys.unique().implode(), nulls_equal=True)


def is_plain(dtype: pl.DataType) -> bool:
    """Whether keys of this dtype are compared by value in a condition."""
    return dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean)


def _joinable(
    frame: pl.LazyFrame, table: pl.LazyFrame, by: Sequence[str], shields: Mapping[str, str]
) -> pl.LazyFrame:
    """The keys of a table of models, with their names in `frame`, and `MODEL`."""
    column = model_column(table, by)
    table = table.with_columns(model_value(table, column).alias(MODEL))
    safe = {name: shields.get(name, name) for name in by}
    schema, found = frame.collect_schema(), table.collect_schema()
    names.refuse_own([name for name in found if name != MODEL])
    for name, here in safe.items():
        if _never_equal(found[name], schema[here]) or _never_equal(schema[here], found[name]):
            msg = (
                f"parameter `models`: column {name!r} is {found[name]} in the table of models and "
                f"{schema[here]} in the rows; cast one of them"
            )
            raise ValueError(msg)
    return table.rename(safe).select(*safe.values(), MODEL)


def _never_equal(text: pl.DataType, other: pl.DataType) -> bool:
    return text == pl.String and (other.is_numeric() or other.is_temporal())


def _with_numbers(frame: pl.LazyFrame, table: pl.DataFrame, by: list[str]) -> WithModels:
    """As `with_models`, with the number of each row's model, and the models by number."""
    if not by:
        return WithModels(frame, pl.lit(table[MODEL]))
    numbers = table.select(by).with_row_index(MODEL).lazy()
    joined = frame.join(numbers, on=by, how="left", maintain_order="left", nulls_equal=True)
    return WithModels(joined, pl.lit(table[MODEL]).gather(pl.col(MODEL)))


def with_sizes(
    model: IntoModel | IntoModels | None, options: Mapping[str, Any], *names: str
) -> dict[str, Any]:
    """`options` with the sizes `names` of the model, if it can be read.

    For verbs whose dtype depends on them. Sizes given by the caller are kept.
    """
    if isinstance(model, Path):
        model = opened(model)
    if not isinstance(model, bytes):
        return dict(options)
    info = json.loads(_genias.model_info(model))
    return {name: info[name] for name in names} | dict(options)


def model_features(models: IntoModels | None) -> list[str]:
    """The features of the first model; empty if reading it would run a query, or fails."""
    if isinstance(models, (str, Path)):
        models = opened(Path(models))
        models = models.head(1).collect() if isinstance(models, pl.LazyFrame) else models
    if models is None or isinstance(models, (pl.Expr, pl.LazyFrame)):
        return []
    if isinstance(models, bytes):
        found: tuple[bytes, bytes | None] | None = (models, None)
    else:
        found = _first_model(to_polars(models, "models"))
    try:
        return list(json.loads(_genias.model_info(*found))["features"]) if found else []
    except ValueError:  # a model that can't be read: the verb reports it per group
        return []


def _first_model(table: pl.DataFrame | pl.LazyFrame) -> tuple[bytes, bytes | None] | None:
    """The first model of a table, which may have other Binary columns, and its backbone."""
    binary = _of_models(table.collect_schema())
    if not binary or isinstance(table, pl.LazyFrame):
        return None
    name = "model" if "model" in binary else binary[-1]
    first = table.filter(names.column(name).is_not_null()).head(1)
    if not first.height:
        return None
    beside = companion(table, name)
    backbone = None if beside is None else first[beside].item()
    return bytes(first[name].item()), None if backbone is None else bytes(backbone)


def _of_models(schema: pl.Schema) -> list[str]:
    """The Binary columns that are not those of backbones."""
    binary = [name for name, dtype in schema.items() if dtype == pl.Binary]
    return [name for name in binary if name.removesuffix(BACKBONE) not in {*binary} - {name}]


def companion(table: pl.DataFrame | pl.LazyFrame, column: str) -> str | None:
    """The column of the backbones of the models in `column`, if there is one."""
    name = f"{column}{BACKBONE}"
    return name if table.collect_schema().get(name) == pl.Binary else None


def model_value(table: pl.DataFrame | pl.LazyFrame, column: str) -> pl.Expr:
    """The models of a table, with their backbones if these are in a column of their own."""
    beside = companion(table, column)
    value = names.column(column)
    return value if beside is None else pl.struct(value, names.column(beside)).alias(column)


def starts(models: IntoModels | None) -> pl.Expr:
    """The different backbones of some models, or the models without one, for `fit` to start from.

    Those of many models come first.

    Raises
    ------
    ValueError
        Without models, or for more than `_MOST_STARTS` different ones.
    """
    if models is None:
        msg = "parameter `warm` = True: give the `models` to start from"
        raise ValueError(msg)
    if isinstance(models, pl.Expr):
        return models
    table = model_table(models)
    column = model_column(table, [])
    backbone = names.column(companion(table, column) or column).alias(MODEL)
    return pl.lit(ordered_starts(table.select(backbone).group_by(MODEL).len(COUNT)))


def started(backbones: Sequence[bytes]) -> pl.Expr:
    """The argument of `fit` for some backbones, in the order in which they are compared."""
    return pl.lit(pl.Series(MODEL, backbones, dtype=pl.Binary))


def ordered_starts(counted: pl.LazyFrame) -> pl.Series:
    """Backbones, `MODEL`, in the order of how many models have them, `COUNT`.

    Most series resemble those that most models are of: their backbone is compared first.
    """
    ordered = counted.drop_nulls().sort(COUNT, MODEL, descending=[True, False])
    found = ordered.collect()[MODEL]
    if len(found) > _MOST_STARTS:
        msg = (
            f"parameter `warm` = True: `models` have {len(found)} different backbones, at most "
            f"{_MOST_STARTS} are compared; fit them with `share` = 'fleet', or give fewer"
        )
        raise ValueError(msg)
    return found


def _read(model: bytes | Path) -> bytes:
    return model.read_bytes() if isinstance(model, Path) else model


def opened(path: Path) -> bytes | pl.LazyFrame:
    """A Parquet table of models, or one model's bytes."""
    if path.is_dir():
        return pl.scan_parquet(path)
    return pl.scan_parquet(path, glob=False) if is_parquet(path) else path.read_bytes()


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet and not the bytes of one model."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC


def model_table(models: Table | bytes | str | Path) -> pl.LazyFrame:
    """Models as a table; one model's bytes become a table with one row."""
    if isinstance(models, (str, Path)):
        models = opened(Path(models))
    if isinstance(models, bytes):
        return pl.LazyFrame({"model": [models]})
    return to_polars(models, "models").lazy()


def model_bytes(models: IntoModels) -> bytes:
    """The bytes of a single given model.

    Raises
    ------
    ValueError
        For an expression, a table of several models, or a null model.
    """
    if isinstance(models, pl.Expr):
        msg = "parameter `models`: must be a table, bytes or a file, not an expression"
        raise ValueError(msg)
    if isinstance(models, (str, Path)):
        models = opened(Path(models))
    if isinstance(models, bytes):
        return models
    table = standalone(to_polars(models, "models").lazy())
    table = table.rename({model_column(table, []): MODEL}).select(MODEL)
    found = _one_per_key(table.collect(), []).item()
    if found is None:
        msg = "parameter `models`: the model is null"
        raise ValueError(msg)
    return bytes(found)


def standalone(table: pl.LazyFrame) -> pl.LazyFrame:
    """A table of models that contain their backbones."""
    column = model_column(table, [])
    beside = companion(table, column)
    if beside is None:
        return table
    whole = plugin("standalone", model_value(table, column), options={}, is_elementwise=True)
    return table.with_columns(whole.alias(column)).drop(beside)


def model_column(table: pl.LazyFrame, by: Sequence[str], role: str = "models") -> str:
    """The Binary column of a table of models."""
    schema = table.collect_schema()
    missing = [key for key in by if key not in schema]
    if missing:
        msg = f"parameter `models`: the table has no column {missing[0]!r} of `by`"
        raise ValueError(msg)
    binary = [name for name in _of_models(schema) if name not in by]
    if "model" in binary:
        return "model"
    if len(binary) != 1:
        msg = f"parameter `{role}`: one Binary column of models is needed, found {binary}"
        raise ValueError(msg)
    return binary[0]


def _one_per_key(table: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The table of models; a second model of a series would duplicate its rows in a join."""
    if not by and table.height != 1:
        msg = f"parameter `models`: {table.height} models for one series; give `by`"
        raise ValueError(msg)
    keys = pl.DataFrame([table[key].alias(str(i)) for i, key in enumerate(by)])
    if by and keys.is_duplicated().any():
        twice = keys.filter(keys.is_duplicated()).row(0)
        msg = f"parameter `models`: more than one model for {dict(zip(by, twice, strict=True))}"
        raise ValueError(msg)
    return table.rechunk()
