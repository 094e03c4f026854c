"""The verbs as plain functions: of an expression, of a LazyFrame, of a DataFrame.

Each takes a frame, and then returns a frame of the same kind, or a column (a name or an
expression; a struct of columns for several features), and then returns an expression. The
namespaces ``.genias`` call these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import polars as pl

from polars_genias import _frames as frames
from polars_genias._models import model_argument, with_sizes
from polars_genias._options import checked
from polars_genias._plugin import plugin
from polars_genias._table import with_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Unpack

    from polars_genias._options import (
        EmbedOptions,
        FitOptions,
        GenerateOptions,
        InjectOptions,
        LabelOptions,
        ModelOptions,
        PairsOptions,
        ScoreOptions,
    )
    from polars_genias._types import Features, IntoColumn, IntoModel, IntoModels, Keys

    Order = IntoColumn | Sequence[IntoColumn] | None

_FRAMES = (pl.DataFrame, pl.LazyFrame)


def _keys(order_by: Order) -> list[IntoColumn]:
    """The order columns as a list."""
    if order_by is None:
        return []
    return [order_by] if isinstance(order_by, (str, pl.Expr, pl.Series)) else list(order_by)


def _expression(
    verb: str,
    column: IntoColumn,
    options: Mapping[str, Any],
    *,
    order_by: Order = None,
    model: IntoModel | None = None,
    **given: Any,
) -> pl.Expr:
    keys = _keys(order_by)
    return plugin(
        verb,
        column,
        options=checked(options, len(keys), verb.removesuffix("_events")),
        order_by=keys,
        model=model_argument(model),
        **given,
    )


def windows(column: IntoColumn, size: int, stride: int = 1, *, order_by: Order = None) -> pl.Expr:
    """Overlapping windows of a column.

    Parameters
    ----------
    column
        A numeric column, or a struct of D of them.
    size
        Rows of a window, W.
    stride
        Rows between the starts of two windows.
    order_by
        Columns that put the rows in time order.

    Returns
    -------
    Expr
        One row per window: ``Array(Float32, W)``, for a struct ``Array(Float32, (W, D))``.
        Nulls and NaN are null.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> pl.DataFrame({"x": [1, 2, 3, 4]}).select(pg.windows("x", 3))["x"].to_list()
    [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    """
    for name, value in (("size", size), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            msg = f"parameter `{name}` = {value!r}: must be an integer >= 1"
            raise ValueError(msg)
    options = {"size": size, "stride": stride}
    return plugin("windows", column, options=options, order_by=_keys(order_by), changes_length=True)


@overload
def fit(
    data: pl.DataFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str = "model",
    strict: bool = False,
    **options: Unpack[FitOptions],
) -> pl.DataFrame: ...
@overload
def fit(
    data: pl.LazyFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str = "model",
    strict: bool = False,
    **options: Unpack[FitOptions],
) -> pl.LazyFrame: ...
@overload
def fit(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[FitOptions],
) -> pl.Expr: ...
@with_options("fit")
def fit(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    name: str = "model",
    strict: bool = False,
    **options: Any,
) -> Any:
    """Fit a model: to all rows of a column, or to every group of a frame.

    A model is a value: Binary, self-contained, the same bytes for the same rows, options and seed.

    Parameters
    ----------
    data
        A frame, or a column (a struct of columns for several features).
    model, models
        As in `generate`: models that get another detector. By default a VAE is fitted first.
    features
        Frames: feature columns; by default every numeric column that has no other role.
    by
        Frames: columns that name the groups, of which each is a time series.
    order_by
        Columns that put the rows of a series in time order; by default they are as they come.
    label
        Boolean column of known anomalies, which are left out of training.
    name
        Frames: name of the column of models.
    strict
        Whether a series without a usable window is an error instead of a null model.
    **options
        See `FitOptions` and ``docs/parameters.md``. ``detector`` is what `score` and `label`
        will use, and ``negatives`` says what it is trained against.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the keys and one model per group. Columns: one Binary value.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> table = wave.genias.fit(window=16, steps=20)
    >>> table.select(pl.col("model").genias.describe().struct.field("window")).item()
    16
    """
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        given = {"models": _either(model, models), "name": name, "strict": strict}
        return frames.like(data, frames.fit_frame(at, options, **given))
    return _expression(
        "fit",
        data,
        options,
        order_by=order_by,
        model=_either(model, models),
        label=label,
        strict=strict,
        returns_scalar=True,
    )


@overload
def generate(
    data: pl.DataFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    suffix: str = "_synthetic",
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.DataFrame: ...
@overload
def generate(
    data: pl.LazyFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    suffix: str = "_synthetic",
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.LazyFrame: ...
@overload
def generate(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    suffix: str = "",
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.Expr: ...
@with_options("generate")
def generate(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    suffix: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Put anomalies into the rows, and say where.

    Anomalies do not overlap, and none is put onto a null or a known anomaly. Values have the dtype
    of their column, and are such as its training rows show that it can take (`domain`); those that
    are not hit are those of the input, bit by bit.

    Parameters
    ----------
    data
        A frame, or a column (a struct of columns for several features).
    model
        Columns: the model to use; by default one is fitted. Bytes, a ``Path``, or a column.
    models
        Frames: the models to use; by default one is fitted per group. A table with the columns
        `by` and a Binary one, a file (a Parquet table, or one model), bytes, or an expression.
    features, by, order_by
        As in `fit`.
    label
        Boolean column of known anomalies.
    suffix
        Behind the names of the new value columns.
    strict
        Whether a series without a usable window is an error instead of null labels.
    **options
        See `GenerateOptions` and ``docs/parameters.md``.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the input, and beside it per feature ``{feature}{suffix}`` (the values),
        ``is_anomaly`` (Boolean), ``anomaly_id`` (UInt32, from 1 within each series, null where
        there is none), ``anomaly_kind`` (UInt32: number of the model's kind, from 1 as the most
        frequent, or of the deformation, see ``docs/generator.md``; 0 where only constant features
        are hit), ``anomaly_strength`` (Float32: root mean square of the change in standard
        deviations) and per feature ``{feature}_mask`` (whether the value differs from the
        input). Columns: a struct of these.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.generate(window=16, steps=20, contamination=0.1)
    >>> out.columns[1:]
    ['cpu_synthetic', 'is_anomaly', 'anomaly_id', 'anomaly_kind', 'anomaly_strength', 'cpu_mask']
    >>> out["is_anomaly"].sum()  # two or three windows of 16 rows: the nearest to 40
    48
    """
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        suffix = "_synthetic" if suffix is None else suffix
        adds = _synthetic_columns(at, suffix)
        given = {"models": _either(model, models), "suffix": suffix, "strict": strict}
        return frames.like(data, frames.beside("generate", at, options, adds=adds, **given))
    return _expression(
        "generate",
        data,
        options,
        order_by=order_by,
        model=_either(model, models),
        label=label,
        suffix=suffix or "",
        strict=strict,
    )


@overload
def inject(
    data: pl.DataFrame,
    *,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    suffix: str = "_synthetic",
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.DataFrame: ...
@overload
def inject(
    data: pl.LazyFrame,
    *,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    suffix: str = "_synthetic",
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.LazyFrame: ...
@overload
def inject(
    data: IntoColumn,
    *,
    order_by: Order = None,
    label: IntoColumn | None = None,
    suffix: str = "",
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.Expr: ...
@with_options("inject")
def inject(
    data: Any,
    *,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    suffix: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Put classical anomalies into the rows, without a model, and say where and which.

    Anomalies do not overlap, and none is put onto a null or a known anomaly. Values have the dtype
    of their column, and are such as its clean rows show that it can take (`domain`); those that
    are not hit are those of the input, bit by bit. Fewer anomalies than asked for are an error.

    Parameters
    ----------
    data, features, by, order_by, label, suffix
        As in `generate`.
    strict
        Whether a series without a clean row is an error instead of null labels.
    **options
        See `InjectOptions`. ``kind``: one name or several, by default CARLA's five.
        ``contamination`` (0.1) or ``count``: how many, per series. ``length``: rows of an anomaly.
        ``strength``: in standard deviations of the feature. ``factor``: of tempo, amplitude or
        distortion. ``shift``: rows of phase. Numbers or (min, max). ``feature_share``: largest
        share of the features that one anomaly hits. The kinds are described in ``docs/inject.md``.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        As `generate`, but that ``anomaly_kind`` is a name (String, null where there is no anomaly).

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.inject(kind=["trend", "mean"], count=2, length=20)
    >>> out.columns[1:]
    ['cpu_synthetic', 'is_anomaly', 'anomaly_id', 'anomaly_kind', 'anomaly_strength', 'cpu_mask']
    >>> sorted(out["anomaly_kind"].drop_nulls().unique())
    ['mean', 'trend']
    >>> out["is_anomaly"].sum()
    40
    """
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        suffix = "_synthetic" if suffix is None else suffix
        adds = _synthetic_columns(at, suffix)
        result = frames.beside("inject", at, options, adds=adds, suffix=suffix, strict=strict)
        return frames.like(data, result)
    return _expression(
        "inject",
        data,
        options,
        order_by=order_by,
        label=label,
        suffix=suffix or "",
        strict=strict,
    )


def _synthetic_columns(at: frames.Inputs, suffix: str) -> list[str]:
    """Columns that `generate` and `inject` add to a frame."""
    values = [f"{name}{suffix}" for name in at.features]
    labels = ("is_anomaly", "anomaly_id", "anomaly_kind", "anomaly_strength")
    return [*values, *labels, *(f"{name}_mask" for name in at.features)]


@overload
def events(
    data: pl.DataFrame,
    *,
    of: Literal["generate"] = "generate",
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.DataFrame: ...
@overload
def events(
    data: pl.LazyFrame,
    *,
    of: Literal["generate"] = "generate",
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.LazyFrame: ...
@overload
def events(
    data: IntoColumn,
    *,
    of: Literal["generate"] = "generate",
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.Expr: ...
@overload
def events(
    data: pl.DataFrame,
    *,
    of: Literal["inject"],
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.DataFrame: ...
@overload
def events(
    data: pl.LazyFrame,
    *,
    of: Literal["inject"],
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.LazyFrame: ...
@overload
def events(
    data: IntoColumn,
    *,
    of: Literal["inject"],
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.Expr: ...
@with_options("events")
def events(
    data: Any,
    *,
    of: str = "generate",
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """What anomalies there are: one row for each that `generate` or `inject` makes.

    With the same rows, models, options and seed these are the anomalies of that verb.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `generate`.
    of
        Whose anomalies: ``"generate"`` or ``"inject"``.
    **options
        As in that verb.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the columns `by`, ``id`` (as ``anomaly_id``), ``start`` (row of the series, in time
        order, from 0), ``length`` (rows), per column of `order_by` ``{column}_start`` and
        ``{column}_end`` (its values at the first and the last row), ``features`` (names of those
        that it hits), ``strength`` (root mean square of the change over its rows and these
        features, in standard deviations of each in training), ``asked`` (the strength that it was
        to have, null where none was asked for), ``unable`` (names of the features that it was to
        hit, but that cannot show it), ``kind`` (a number; of ``"inject"`` a name), ``psi`` (scale
        of the latent noise), ``distance`` (deviation of the feature that deviated most, as it was
        drawn, in units of `tau`), ``redraws`` (how often it was drawn again, since no feature
        passed `tau`) and ``fallback`` (whether none did at last). The last four are null where no
        model was used. Columns: a struct of these, one row per anomaly.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> options = {"window": 16, "steps": 20, "strength": 2.0, "length": 10}
    >>> table = wave.genias.events(order_by="t", **options)
    >>> table.select("id", "length", "features").row(0)
    (1, 10, ['cpu'])
    >>> table["strength"].round(3).unique().to_list()
    [2.0]
    """
    if of not in ("generate", "inject"):
        msg = f'parameter `of` = {of!r}: must be "generate" or "inject"'
        raise ValueError(msg)
    verb = "events" if of == "generate" else "inject_events"
    model = _either(model, models)
    if model is not None and of == "inject":
        msg = 'parameter `model`: no model is used with `of` = "inject"'
        raise ValueError(msg)
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        table = frames.events_frame(verb, at, options, models=model, strict=strict)
        return frames.like(data, table)
    given = {"label": label, "strict": strict, "changes_length": True}
    return _expression(verb, data, options, order_by=order_by, model=model, **given)


@overload
def pairs(
    data: pl.DataFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[PairsOptions],
) -> pl.DataFrame: ...
@overload
def pairs(
    data: pl.LazyFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[PairsOptions],
) -> pl.LazyFrame: ...
@overload
def pairs(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[PairsOptions],
) -> pl.Expr: ...
@with_options("pairs")
def pairs(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Windows as they are, beside the same windows with an anomaly: training data for a detector.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `generate`. With a model in a column, give its `window`: the type of the result
        depends on it.
    **options
        See `PairsOptions`; `window_stride` is the rows between two windows.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        One row per window: ``start`` (its first row in the series), ``normal`` and ``anomalous``
        (Arrays of shape ``W``; of several features, and always for frames, ``(W, D)``; of the dtype
        of the features, or of Float64 where they have several) and ``mask`` (Boolean, of the same
        shape: which values differ). Columns: a struct of these.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.pairs(window=16, steps=20, window_stride=8)
    >>> out["start"].to_list()
    [0, 8, 16, 24, 32, 40, 48]
    """
    model = _either(model, models)
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        return frames.like(data, frames.pairs_frame(at, options, models=model, strict=strict))
    options = with_sizes(model, options, "window")
    return _expression(
        "pairs",
        data,
        options,
        order_by=order_by,
        model=model,
        label=label,
        strict=strict,
        changes_length=True,
    )


@overload
def score(
    data: pl.DataFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str | None = None,
    strict: bool = False,
    **options: Unpack[ScoreOptions],
) -> pl.DataFrame: ...
@overload
def score(
    data: pl.LazyFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str | None = None,
    strict: bool = False,
    **options: Unpack[ScoreOptions],
) -> pl.LazyFrame: ...
@overload
def score(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[ScoreOptions],
) -> pl.Expr: ...
@with_options("score")
def score(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    name: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Score every row: higher is more anomalous.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `generate`; `label` matters only where a model is fitted.
    name
        Frames: name of the new column, by default ``anomaly_score``.
    **options
        See `ScoreOptions`. ``detector`` is by default the one that the model was fitted with;
        ``"reconstruction"`` (squared error of the VAE) and ``"amplitude"`` (largest z-score) are
        in every model. ``aggregate``: what the windows that cover a row come to. With
        ``per_feature=True`` every feature has a score of its own (of ``"reconstruction"``, or
        of ``"amplitude"``), to read where an anomaly is. ``as_="pvalue"``: the probability that a
        normal row scores as high, by the scores of normal rows, which follow the rows; the new
        column is called ``anomaly_pvalue``, where no other name is given.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Float32 per row; null where no window without nulls covers it. With ``per_feature``:
        frames get ``{feature}_score`` columns, an expression is a struct.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> model = wave.genias.fit(window=16, steps=20)
    >>> odd = wave.with_columns(cpu=pl.when(pl.int_range(400) == 200).then(5).otherwise("cpu"))
    >>> score = odd.genias.score(models=model)["anomaly_score"]
    >>> bool(score[200] > 5 * score[100])
    True
    """
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        given = {"models": _either(model, models), "strict": strict}
        if options.get("per_feature"):
            adds = [f"{feature}_score" for feature in at.features]
            given["suffix"] = "_score"
        else:
            adds = [name or f"anomaly_{options.get('as_') or 'score'}"]
        return frames.like(data, frames.beside("score", at, options, adds=adds, **given))
    model = _either(model, models)
    return _expression(
        "score", data, options, order_by=order_by, model=model, label=label, strict=strict
    )


@overload
def label(
    data: pl.DataFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str = "anomaly_label",
    strict: bool = False,
    update: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.DataFrame: ...
@overload
def label(
    data: pl.LazyFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str = "anomaly_label",
    strict: bool = False,
    update: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.LazyFrame: ...
@overload
def label(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    update: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.Expr: ...
@with_options("label")
def label(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    name: str = "anomaly_label",
    strict: bool = False,
    update: bool = False,
    **options: Any,
) -> Any:
    """Label every row: whether it lies in an alarm.

    A label is a promise about false alarms. Scores become probabilities (`score` with
    ``as_="pvalue"``) by those of normal rows, which follow the rows that are labelled. An alarm
    starts where a score is too improbable and goes on while it is improbable; it is as long as
    what it reports.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `score`. `label` names the known anomalies of the training data, not the result.
    name
        Frames: name of the new column.
    update
        Whether the models come back with what they have seen, for the rows that come next: frames
        get a column ``model`` that holds the model of each group at its last row and null
        elsewhere, an expression is a struct of ``label`` and ``model``.
    **options
        See `LabelOptions` and ``docs/alarms.md``. ``false_alarm_rate``: share of the rows of a
        normal series that may lie in alarms, by default 0.001, 10 of 10,000. Or
        ``alarms_per_day``, with a temporal `order_by`. ``adapt``: how fast what is normal follows
        the rows. ``join``, ``min_rows``, ``cooldown``, ``min_change``: what one alarm is.
        Or a line instead of a promise: ``threshold``, a score or ``"pot"`` (the score that a
        normal row passes once in a thousand, by peaks over threshold), or ``quantile``, of the
        scores of held-out normal rows; rows that score above it are labelled, and nothing follows.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Boolean per row; null where there is no score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> wave.genias.label(window=16, steps=20, threshold=1e9)["anomaly_label"].any()
    False
    """
    model = _either(model, models)
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        given = {"models": model, "strict": strict, "update": update}
        return frames.like(data, frames.labelled(at, options, name=name, **given))
    given = {"model": model, "label": label, "strict": strict, "update": update}
    return _expression("label", data, options, order_by=order_by, **given)


@overload
def alarms(
    data: pl.DataFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.DataFrame: ...
@overload
def alarms(
    data: pl.LazyFrame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.LazyFrame: ...
@overload
def alarms(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.Expr: ...
@with_options("alarms")
def alarms(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """What alarms there are: one row for each whose rows `label` marks.

    With the same rows, models and options these are the alarms of that verb.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `label`.
    **options
        As in `label`.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the columns `by`, ``id`` (from 1 in each series), ``start`` (row of the series, in
        time order, from 0), ``length`` (rows), ``peak`` (its oddest row), per column of `order_by`
        ``{column}_start``, ``{column}_end`` and ``{column}_peak`` (its values at these rows),
        ``severity`` (0 to 1, the same in every group: -log10(p) / 12), ``p`` (least probability of
        a score as high in a normal row), ``direction`` (``"up"``, ``"down"`` or ``"both"``: where
        the first feature went), ``features`` (names of those to blame, the first of them first),
        ``shares`` (what each has of it, in (0, 1]), ``expected`` and ``actual`` (of the first
        feature at the peak), ``change`` (largest movement of a feature from what was expected, in
        its unit) and ``open`` (whether it goes on behind the last row). From ``direction`` to
        ``change`` they are null or empty for detectors other than ``"evidence"``. Columns: a
        struct of these, one row per alarm.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(900)}).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> model = wave.head(600).genias.fit(order_by="t", window=32, detector="evidence")
    >>> odd = wave.with_columns(
    ...     cpu=pl.when(pl.col("t").is_between(700, 709)).then(pl.col("cpu") + 4).otherwise("cpu")
    ... )
    >>> table = odd.tail(300).genias.alarms(order_by="t", models=model)
    >>> table.select("t_start", "t_end", "direction").row(0)
    (700, 709, 'up')
    """
    model = _either(model, models)
    if isinstance(data, _FRAMES):
        at = frames.inputs(data, features, by, order_by, label)
        return frames.like(data, frames.alarms_frame(at, options, models=model, strict=strict))
    given = {"label": label, "strict": strict, "changes_length": True}
    return _expression("alarms", data, options, order_by=order_by, model=model, **given)


@with_options("reconstruct")
def reconstruct(
    column: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    suffix: str = "",
    strict: bool = False,
    **options: Unpack[ModelOptions],
) -> pl.Expr:
    """What the model makes of every row, in the input's units.

    Parameters
    ----------
    column, model, order_by, label, suffix, strict, **options
        As in `generate` of a column.

    Returns
    -------
    Expr
        A struct with one field per feature: the mean over the windows that cover a row, null where
        none does. A feature that was constant in training comes back as that constant.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.select(pg.reconstruct("cpu", window=16, steps=20).struct.field("cpu"))
    >>> bool((out["cpu"] - wave["cpu"]).abs().max() < 0.5)
    True
    """
    given = {"label": label, "suffix": suffix, "strict": strict}
    return _expression("reconstruct", column, options, order_by=order_by, model=model, **given)


@with_options("embed")
def embed(
    column: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[EmbedOptions],
) -> pl.Expr:
    """The latent mean of every window.

    Parameters
    ----------
    column, model, order_by, label, strict
        As in `generate` of a column. With a model in a column, give its `latent`: the type of the
        result depends on it.
    **options
        See `EmbedOptions`; `window_stride` is the rows between two windows.

    Returns
    -------
    Expr
        ``Array(Float32, latent)`` per window without nulls.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.select(pg.embed("cpu", window=16, steps=20, latent=3, window_stride=8))
    >>> out["cpu"].dtype, len(out)
    (Array(Float32, shape=(3,)), 7)
    """
    options = with_sizes(model, options, "window", "latent")  # type: ignore[assignment]
    given = {"label": label, "strict": strict, "changes_length": True}
    return _expression("embed", column, options, order_by=order_by, model=model, **given)


def describe(column: IntoColumn) -> pl.Expr:
    """What is in a column of models.

    Parameters
    ----------
    column
        A Binary column, as `fit` gives it.

    Returns
    -------
    Expr
        A struct: ``psi``, ``r2`` and ``r2_pca`` (reconstruction of held-out windows, and PCA's of
        the same rank), ``active_units``, ``edi`` (diversity of its anomalies: entropy over their
        kinds, in nats), ``correlation`` (the largest between two features, as ``patch`` breaks
        it; null where fewer than two move), ``kl``, ``patch_rate``, ``in_band``, ``threshold``,
        ``steps``, ``seconds`` (null unless fitted in this process), ``stop_reason``, ``health`` (a
        list of warnings, explained in the documentation), ``history``, ``config`` and more.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> table = wave.genias.fit(window=16, steps=20)
    >>> table.select(pg.describe("model")).unnest("model")["stop_reason"].item()
    'steps'
    """
    return plugin("describe", column, options={}, is_elementwise=True)


def _either(model: Any, models: Any) -> Any:
    """`model` and `models` are the same argument, named for one series or for several."""
    if model is not None and models is not None:
        msg = "give `model` or `models`, not both"
        raise ValueError(msg)
    return model if models is None else models
