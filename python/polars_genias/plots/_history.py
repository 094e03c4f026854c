"""Training history of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

import altair as alt
import polars as pl

from polars_genias._features import listed
from polars_genias._models import model_column, model_table
from polars_genias._names import column as named
from polars_genias.plots import _look as look
from polars_genias.verbs import describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LOSSES = {"train_loss": "training windows", "validation_loss": "held-out windows"}
_MOST = 12


def plot_history(
    models: Union[pl.DataFrame, pl.LazyFrame, bytes, str, Path],
    *,
    by: str | Sequence[str] | None = None,
    width: int = 320,
    height: int = 150,
    columns: int = 3,
    title: str | None = None,
) -> alt.ConcatChart:
    """Draw the training history of models: losses (on a log scale) and psi over the steps.

    The dashed line is the psi of the model, which calibration sets after the last step. The
    subtitle shows R2 on held-out windows, that of PCA, why training stopped, and warnings.

    Parameters
    ----------
    models
        A table of models from `fit`, its path, or the bytes of one model.
    by
        Key columns of the table, which name the models. By default all columns except the models.
    width, height
        Size of a panel in pixels.
    columns
        Models per row.
    title
        Title of the chart.

    Returns
    -------
    ConcatChart
        A panel of losses above a panel of psi for each model.

    Raises
    ------
    ValueError
        For a table without models or with more than 12, or for a model without a history.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> from polars_genias import plots
    >>> wave = pl.DataFrame({"t": range(128)}).select(cpu=(pl.col("t") / 3).sin())
    >>> chart = plots.plot_history(wave.genias.fit(window=16, steps=20))
    >>> len(chart.concat)
    1
    """
    table = _described(models, by)
    panels = []
    for about in table.iter_rows(named=True):
        history = pl.DataFrame(about["history"], schema=table.schema["history"].inner.to_schema())  # type: ignore[attr-defined]
        losses = _losses(history, width, height)
        psi = _psi(history, about["psi"], width, height)
        text = _titles(about)
        panels.append(
            alt.vconcat(losses, psi, spacing=8)
            .resolve_scale(x="shared")
            .properties(title=look.title(*text, fontSize=13, subtitleFontSize=11))
        )
    chart = alt.concat(*panels, columns=min(columns, len(panels)), spacing=24)
    titled: alt.ConcatChart = look.titled(chart, title)
    return titled


def _described(
    models: pl.DataFrame | pl.LazyFrame | bytes | str | Path, by: str | Sequence[str] | None
) -> pl.DataFrame:
    """The row of `describe` of every model, and the model's ``name``."""
    frame = model_table(models)
    keys = listed(by)
    column = model_column(frame, keys)
    if by is None:
        keys = [name for name in frame.collect_schema().names() if name != column]
    name = pl.concat_str([named(key).cast(pl.String) for key in keys], separator=", ")
    table = (
        frame.filter(named(column).is_not_null())
        .select(
            (name if keys else pl.lit("model")).fill_null("null").alias("name"),
            describe(named(column)).alias("about"),
        )
        .unnest("about")
        .collect()
    )
    if not 1 <= table.height <= _MOST:
        msg = f"parameter `models`: {table.height} models; 1 to {_MOST} can be drawn, filter some"
        raise ValueError(msg)
    bare = table.filter(pl.col("history").list.len() == 0)
    if bare.height:
        msg = f"parameter `models`: {bare['name'][0]!r} has no history ({bare['stop_reason'][0]})"
        raise ValueError(msg)
    return table


def _titles(about: dict[str, Any]) -> tuple[str, list[str]]:
    """Name of a model, and the results of its training."""
    r2 = ["-" if about[name] is None else f"{about[name]:.2f}" for name in ("r2", "r2_pca")]
    health = ", ".join(about["health"]) or "no warnings"
    return about["name"], [f"R2 {r2[0]}, of PCA {r2[1]}; stopped by {about['stop_reason']}", health]


def _steps(title: str | None) -> alt.X:
    said = title is not None
    axis = look.axis(grid=False, tickCount=6, tickMinStep=1, labels=said, ticks=said)
    return alt.X("step:Q", title=title, axis=axis)


def _losses(history: pl.DataFrame, width: int, height: int) -> Any:
    long = history.select("step", **{name: column for column, name in _LOSSES.items()})
    long = long.unpivot(index="step", variable_name="of", value_name="loss")
    names = list(_LOSSES.values())
    scale = alt.Scale(domain=names, range=[look.GREY, look.BLUE])
    axis = look.numbers(values=look.log_ticks(long["loss"]), minExtent=42)
    line = alt.Chart(long).mark_line(
        strokeWidth=1.8, point=alt.OverlayMarkDef(size=18, filled=True)
    )
    return line.encode(
        _steps(None),
        alt.Y(
            "loss:Q",
            title="loss (log scale)",
            scale=alt.Scale(type="log", nice=False, padding=6),
            axis=axis,
        ),
        alt.Color("of:N", scale=scale, sort=names, legend=look.legend(), title=None),
        tooltip=["of", "step", alt.Tooltip("loss:Q", format=".4~g")],
    ).properties(width=width, height=height, view=look.NO_FRAME)


def _psi(history: pl.DataFrame, psi: float | None, width: int, height: int) -> Any:
    axis = look.numbers(tickCount=3, minExtent=42)
    y = alt.Y("psi:Q", title="psi", scale=alt.Scale(zero=False), axis=axis)
    line = alt.Chart(history).mark_line(
        strokeWidth=1.8,
        color=look.VERMILION,
        point=alt.OverlayMarkDef(size=18, filled=True, color=look.VERMILION),
    )
    shown = ["step", alt.Tooltip("psi:Q", format=".4~g")]
    layers = [line.encode(_steps("optimiser step"), y, tooltip=shown)]
    if psi is not None:
        layers.append(look.level(psi))
        above = psi < history.select(pl.col("psi").mean()).item()
        layers.append(look.note(psi, f"of the model: {psi:.2f}", below=not above))
    size = {"width": width, "height": height // 2}
    return alt.layer(*layers).properties(view=look.NO_FRAME, **size)
