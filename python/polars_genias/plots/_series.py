"""Charts of rows over time: features, generated anomalies, labels and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import _frames as frames
from polars_genias._features import boolean, listed, require
from polars_genias._foreign import to_polars
from polars_genias._models import model_column, model_table, model_value
from polars_genias._names import column
from polars_genias.plots import _look as look
from polars_genias.plots import _moves as moves
from polars_genias.plots import _times as times
from polars_genias.plots._thin import MOST_BINS, drawable, pixel, spans, thin, where_changed
from polars_genias.verbs import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt

    from polars_genias._types import Features, IntoModels, Keys, Table

_X = "__x"
_SCORE = "anomaly_score"
_LABEL = "is_anomaly"
_FLAGGED = "anomaly_label"
_KIND = "anomaly_kind"
_ALARM = "alarm"
_MOST_GROUPS = 12
_MADE = {_SCORE, _LABEL, _FLAGGED, "anomaly_id", "anomaly_kind", "anomaly_strength"}
_MADE |= {"anomaly_nearest"}
"""Columns that the verbs add to those of the series."""
_BOUNDS = ("_lower", "_upper")
"""Suffixes of the columns between which a feature should have been."""
_POINTS = 24_000
"""Buckets of all lines of a chart together: so long are lines that are zoomed into."""
_FEW = 8
"""So many features have panels of full height."""


def plot_series(
    data: Table,
    *,
    features: Features | None = None,
    order_by: str | None = None,
    label: str | Sequence[str] | None = None,
    score: str | Sequence[str] | None = None,
    flagged: str | None = None,
    alarms: Table | None = None,
    threshold: float | None = None,
    models: IntoModels | None = None,
    by: Keys | None = None,
    suffix: str = "_synthetic",
    units: Mapping[str, str] | None = None,
    most: int = 25,
    overview: bool | None = None,
    width: int = 820,
    height: int | None = None,
    title: str | None = None,
) -> alt.VConcatChart:
    """Draw series: panels for features and scores, stacked over the same time axis.

    The original series is grey, generated values are drawn in front of it, and labelled rows are
    shaded. Columns with the default names of the verbs are found automatically. In a notebook and
    in HTML, the chart is as wide as the page, all panels zoom together (drag and scroll), and the
    values at the pointer are shown.

    Parameters
    ----------
    data
        Rows of one series, or of several with `by`: an input or a result of `generate`, `inject`,
        `score`, `label` or `expect`, whose expected values and bounds are drawn.
    features
        The columns to draw. By default those with a synthetic column, or else every numeric column
        without another role.
    order_by
        The time: a temporal or numeric column. By default rows are numbered. Times with a zone are
        those of its clock.
    label
        Boolean columns whose true rows are shaded. By default ``is_anomaly``, if it exists, with
        one colour per kind if ``anomaly_kind`` has at most 8 kinds.
    score
        Score columns, one panel each. By default ``anomaly_score``, if it exists.
    flagged
        Boolean column of rows flagged by a detector, drawn as a bar below the first score, or below
        the last feature without a score. By default ``anomaly_label``, if it exists.
    alarms
        The result of `polars_genias.alarms`, drawn as this bar instead of `flagged`.
    threshold
        Threshold, drawn as a dashed line across the scores.
    models
        The models of the scores, instead of `threshold`: that of each (`describe`) is drawn.
    by
        Key columns of the groups: panels for each of up to 12, over one time axis.
    suffix
        Suffix of the synthetic columns.
    units
        Units of features and scores, for the titles of panels.
    most
        Maximum number of features; those with the most generated values are drawn.
    overview
        Whether a strip below the panels shows the whole series: drag over it to select what the
        panels show. By default for series of more than four rows per pixel. Write PNG and SVG with
        `polars_genias.plots.save`, which leaves it out.
    width
        Width of a panel in pixels, where the chart is not as wide as the page.
    height
        Height of a panel in pixels; by default 90, or 46 for more than 8 features.
    title
        Title of the chart.

    Returns
    -------
    VConcatChart
        The chart.

    Raises
    ------
    ValueError
        For a column that is missing or has another dtype, for rows at the same time, for several
        series without `by` or `order_by`, or for more than 12 groups.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> from polars_genias import plots
    >>> wave = pl.DataFrame({"t": range(400)}).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.inject(features="cpu", order_by="t", kind="mean", count=1, length=20)
    >>> chart = plots.plot_series(out, order_by="t", units={"cpu": "%"})
    >>> len(chart.vconcat)
    1
    """
    if threshold is not None and models is not None:
        msg = "give `threshold` or `models`, not both"
        raise ValueError(msg)
    frame = to_polars(data).lazy()
    schema = frame.collect_schema()
    keys = listed(by)
    labels = _found(schema, "label", label, _LABEL)
    scores = _found(schema, "score", score, _SCORE)
    flags = _found(schema, "flagged", flagged, _FLAGGED) if alarms is None else []
    if len(labels) > len(look.PASTELS):
        msg = f"parameter `label` = {labels}: at most {len(look.PASTELS)} columns can be shaded"
        raise ValueError(msg)
    for role, names in (("label", labels), ("flagged", flags)):
        for name in names:
            boolean(schema, role, name)
    for name in keys:
        require(schema, "by", name)
    if not keys and order_by is None:
        _refuse_several(frame, schema)
    if features is None:
        taken = {*labels, *scores, *flags, *keys, order_by}
        features = _default_features(schema, suffix, taken)
    found = _Columns(labels, scores, flags, suffix, order_by)
    groups = list(_groups(frame, schema, keys))
    frame = _one_colour_per_kind(frame, schema) if keys else frame
    alarmed = None if alarms is None else to_polars(alarms, "alarms").lazy()
    drawn = []
    for group, mine in groups:
        at = frames.inputs(_of(frame, mine).drop(keys), features, None, order_by)
        own = None if alarmed is None else _of(alarmed, mine)
        limit = threshold if models is None else _threshold(models, mine if keys else [])
        drawn.append(_Group(group, *_rows_and_columns(at, found, own), limit))
    chosen = _most_hit([group.rows for group in drawn], list(at.features.values()), suffix, most)
    dtype = None if order_by is None else schema[order_by]
    height = height or (90 if len(chosen) <= _FEW else 46)
    drawing = _Drawing(drawn, chosen, dict(units or {}), dtype)
    chart = drawing.chart(width, height, overview=overview)
    titled: alt.VConcatChart = look.titled(chart, title, _note(chosen, len(at.features)))
    return titled


def _note(drawn: list[str], of: int) -> str | None:
    """That not all features are drawn, and what their titles leave out."""
    fewer = f"{len(drawn)} of {of} features" if len(drawn) < of else None
    names = look.distinct(drawn)[1]
    return "; ".join(filter(None, (fewer, names and f"names: {names}"))) or None


@dataclass(frozen=True)
class _Columns:
    """Columns of a frame by their role."""

    labels: list[str]
    scores: list[str]
    flags: list[str]
    suffix: str
    order_by: str | None


@dataclass(frozen=True)
class _Group:
    """The rows of one series, in time order, and what is drawn of them."""

    name: str | None
    rows: pl.DataFrame
    columns: _Columns
    threshold: float | None


def _refuse_several(frame: pl.LazyFrame, schema: pl.Schema) -> None:
    """Raises ValueError if rows without `order_by` look like those of several series."""
    timed = [name for name, dtype in schema.items() if isinstance(dtype, (pl.Datetime, pl.Date))]
    texts = (pl.String, pl.Categorical, pl.Enum)
    named = [n for n, dtype in schema.items() if dtype in texts and n not in _MADE]
    back = [(column(name).diff().dt.total_microseconds() < 0).any() for name in timed]
    runs = [
        (column(name).n_unique() > 1) & (column(name).rle_id().max() + 1 == column(name).n_unique())
        for name in named
    ]
    asked = dict(zip([*timed, *named], [*back, *runs], strict=True))
    if not asked:
        return
    found = frame.select(test.alias(f"{i}") for i, test in enumerate(asked.values())).collect()
    for name, several in zip(asked, found.row(0), strict=True):
        if several:
            what = "goes back" if name in timed else "has one value after another"
            msg = (
                f"column {name!r} {what}: rows of several series? Give `order_by`, and `by` for "
                "several series"
            )
            raise ValueError(msg)


def _groups(
    frame: pl.LazyFrame, schema: pl.Schema, by: list[str]
) -> list[tuple[str | None, list[pl.Expr]]]:
    """Names of the groups, and conditions on their rows."""
    if not by:
        return [(None, [])]
    found = frame.select(column(name) for name in by).unique().sort(pl.all()).collect()
    if not 0 < found.height <= _MOST_GROUPS:
        msg = f"parameter `by` = {by}: {found.height} groups; from 1 to {_MOST_GROUPS} can be drawn"
        raise ValueError(msg)
    return [
        (
            ", ".join(str(key) for key in keys),
            [
                column(name).eq_missing(pl.lit(key, schema[name]))
                for name, key in zip(by, keys, strict=True)
            ],
        )
        for keys in found.iter_rows()
    ]


def _of(frame: pl.LazyFrame, mine: list[pl.Expr]) -> pl.LazyFrame:
    """The rows of a group."""
    return frame.filter(mine) if mine else frame


def _threshold(models: IntoModels, mine: list[pl.Expr]) -> float | None:
    """The threshold of the model of a group."""
    table = _of(model_table(models), mine)  # type: ignore[arg-type]
    about = describe(model_value(table, model_column(table, []))).struct.field("threshold")
    found = table.select(about).collect().to_series().to_list()
    if len(found) > 1:
        msg = f"parameter `models`: {len(found)} models for one series; give `by`, or filter them"
        raise ValueError(msg)
    return found[0] if found else None


def _rows_and_columns(
    at: frames.Inputs, found: _Columns, alarms: pl.LazyFrame | None
) -> tuple[pl.DataFrame, _Columns]:
    """The rows to draw, with a column per kind of anomaly and one of alarms."""
    kind = [_KIND] if found.labels == [_LABEL] and _names_kinds(at.schema) else []
    others = [*found.labels, *found.scores, *found.flags, *kind]
    rows, labels, flags = _rows(at, others, found.suffix), found.labels, found.flags
    if alarms is not None:
        rows, flags = _with_alarms(rows, alarms, found.order_by), [_ALARM]
    if kind:
        rows, labels = _by_kind(rows, labels)
    return rows, _Columns(labels, found.scores, flags, found.suffix, found.order_by)


class _Drawing:
    """The panels of all groups over one time axis, as parts of a Vega-Lite specification."""

    def __init__(
        self, groups: list[_Group], features: list[str], units: dict[str, str], dtype: Any
    ) -> None:
        self.groups, self.features, self.units, self.dtype = groups, features, units, dtype
        self.timed = dtype is not None and times.is_time(dtype)
        self.kind = {"type": "temporal" if self.timed else "quantitative"}

    def chart(self, width: int, height: int, *, overview: bool | None) -> moves.Panels:
        """All panels, and the overview strip."""
        first = self.groups[0]
        self.width, self.height = width, height
        self.fill = self._fill()
        self.lines = self._names_of_lines()
        count = len(self.groups) * (len(self.features) + len(first.columns.scores))
        self.bins = max(width // 2, min(4 * width, _POINTS // max(1, count)))
        long = max(group.rows.height for group in self.groups) > 4 * width
        self.moves = moves.Moves(first.rows, overview=long if overview is None else overview)
        stacked = [self._group(group) for group in self.groups]
        body = stacked[0] if len(stacked) == 1 else {"vconcat": stacked, "spacing": 24}
        body["resolve"] = {"scale": {"x": "shared"}}
        if self.moves.overview:
            body = {"vconcat": [body, self._overview(first)], "spacing": 12}
        return moves.Panels(params=self.moves.params(), **body)

    def _has(self, end: str) -> bool:
        return any(f"{name}{end}" in self.groups[0].rows.columns for name in self.features)

    def _fill(self) -> look.Style:
        """The colours of labelled and of flagged rows and of bands, in one legend."""
        labels = list(dict.fromkeys(name for g in self.groups for name in g.columns.labels))
        flags = self.groups[0].columns.flags
        colours = dict(zip(map(_words, labels), look.SHADES, strict=False))
        colours |= {_words(name): look.BLUE for name in flags}
        colours |= {_BAND: look.BAND} if self._has("_lower") else {}
        return {
            "field": "rows",
            "type": "nominal",
            "title": None,
            "sort": list(colours),
            "scale": {"domain": list(colours), "range": list(colours.values())},
            "legend": look.legend(symbolStrokeWidth=0, columns=4),
        }

    def _names_of_lines(self) -> dict[str, look.Style]:
        """Styles of the lines of features, by their names in the legend; later ones in front."""
        made = self._has(self.groups[0].columns.suffix)
        named = {"as it was" if made else "value": {"color": look.GREY, "strokeWidth": 1.2}}
        if self._has("_expected"):
            dashed = {"color": look.BLUE, "strokeWidth": 1.4, "strokeDash": [4, 2]}
            named = {"expected": dashed} | named
        return named | (
            {"generated": {"color": look.VERMILION, "strokeWidth": 1.8}} if made else {}
        )

    def _group(self, group: _Group) -> dict[str, Any]:
        scores = group.columns.scores
        last = (scores or self.features)[-1]
        shades = self._shades(group)
        titles = dict(zip(self.features, look.distinct(self.features)[0], strict=True))
        titles |= {name: _words(name) for name in scores}
        pointer = self.moves.pointer(group.rows, self._said(group, titles), self.width)
        panels = []
        for name in (*self.features, *scores):
            draw = self._score if name in scores else self._feature
            layers = [*shades, *draw(group, name)]
            if group.columns.flags and name == (scores or self.features[-1:])[0]:
                layers.append(self._bar(group))
            x = self._x(group, last=name == last)
            layers[0] = _with_axis(layers[0], x)
            title = look.with_unit(
                titles[name], {titles[name]: u} if (u := self.units.get(name)) else {}
            )
            panels.append(self._panel([*layers, pointer(name, self._at("start"))], title))
        stacked = {"vconcat": panels, "spacing": 4}
        return stacked if group.name is None else stacked | {"title": look.titling(group.name)}

    def _panel(self, layers: list[dict[str, Any]], title: str) -> dict[str, Any]:
        return {
            "layer": layers,
            "width": self.width,
            "height": self.height,
            "view": look.NO_FRAME,
            "title": look.panel_title(title, limit=self.width),
        }

    def _x(self, group: _Group, *, last: bool) -> look.Style:
        """The time axis; below the last panel, it has labels and a title."""
        rows, order_by = group.rows, group.columns.order_by
        title = None
        if last:
            title = "row" if order_by is None else times.title(rows, order_by, self.dtype)
        given = {"grid": False, "labelOverlap": True, "tickCount": {"expr": _TICKS}}
        given |= {"labels": last, "ticks": last}
        axis = look.numbers(**given)
        if self.timed:
            length = rows.select(pl.col(_X).max() - pl.col(_X).min()).item()
            axis = times.axis(length or 0.0, **given)
        return {"title": title, "axis": axis}

    def _at(self, field: str = _X) -> look.Style:
        return {"field": field, **self.kind, "scale": self.moves.scale(self.timed)}

    def _feature(self, group: _Group, name: str) -> list[dict[str, Any]]:
        """The band, the lines, and the changed values of a feature."""
        rows, suffix = group.rows, group.columns.suffix
        changed = _changed(rows, name, suffix) if f"{name}{suffix}" in rows.columns else None
        hit = None if changed is None else rows.select(changed).to_series()
        scale = {
            "domain": list(self.lines),
            "range": [style["color"] for style in self.lines.values()],
        }
        colour: look.Style = {
            "field": "line",
            "type": "nominal",
            "title": None,
            "sort": list(self.lines),
        }
        colour |= {"scale": scale, "legend": look.legend() if len(self.lines) > 1 else None}
        layers = self._band(rows, name)
        for line, style in self.lines.items():
            if line == "generated":
                drawn = self._generated(rows, f"{name}{suffix}", changed)
            else:
                drawn = self._thinned(rows, f"{name}_expected" if line == "expected" else name, hit)
            layers.append(
                {
                    "data": look.data(drawn.with_columns(line=pl.lit(line))),
                    "mark": {"type": "line", "clip": True, **style},
                    "encoding": {"x": self._at(), "y": _y(), "color": colour},
                }
            )
        return layers

    def _thinned(
        self, rows: pl.DataFrame, name: str, keep: pl.Series | None = None
    ) -> pl.DataFrame:
        if name not in rows.columns:
            return rows.select(_X, value=pl.lit(None, pl.Float64)).clear()
        return thin(rows.select(_X, value=drawable(name)), _X, self.bins, keep)

    def _generated(self, rows: pl.DataFrame, name: str, changed: pl.Expr | None) -> pl.DataFrame:
        """Generated values where they differ, and a null on either side of them."""
        value = pl.lit(None, pl.Float64) if changed is None else where_changed(changed, name)
        line = rows.select(_X, value=value)
        there = pl.col("value").is_not_null()
        near = there | there.shift(1) | there.shift(-1)
        return thin(line.filter(near.fill_null(value=False)), _X, self.bins)

    def _band(self, rows: pl.DataFrame, name: str) -> list[dict[str, Any]]:
        """The bounds of one feature, where the frame has them: the widest per bucket."""
        lower, upper = (f"{name}{end}" for end in _BOUNDS)
        if lower not in rows.columns or upper not in rows.columns:
            return []
        bounds = rows.select(_X, value=drawable(lower), upper=drawable(upper))
        binned = (
            bounds.lazy()
            .group_by(pixel(_X, min(self.bins, MOST_BINS)).alias("bin"), maintain_order=True)
            .agg(pl.col(_X).first(), pl.col("value").min(), pl.col("upper").max())
            .select(_X, "value", "upper", rows=pl.lit(_BAND))
            .collect()
        )
        at = {"x": self._at(), "y": _y(), "y2": {"field": "upper"}, "fill": self.fill}
        mark = {"type": "area", "clip": True}
        return [{"data": look.data(binned), "mark": mark, "encoding": at}]

    def _score(self, group: _Group, name: str) -> list[dict[str, Any]]:
        mark = {"type": "line", "strokeWidth": 1.2, "color": look.BLUE, "clip": True}
        data = look.data(self._thinned(group.rows, name))
        layers = [{"data": data, "mark": mark, "encoding": {"x": self._at(), "y": _y()}}]
        return layers if group.threshold is None else [*layers, *_level(group.threshold)]

    def _shades(self, group: _Group) -> list[dict[str, Any]]:
        """Shaded rows, at least as wide as their outline."""
        if not group.columns.labels:
            return []
        mark = {"type": "rect", "strokeWidth": 1, "opacity": 0.8, "clip": True}
        shade = self._stretches(group, group.columns.labels, mark)
        shade["encoding"]["stroke"] = self.fill
        return [shade]

    def _bar(self, group: _Group) -> dict[str, Any]:
        """A bar along the bottom of a panel for flagged rows."""
        mark = {"type": "rect", "strokeWidth": 1, "stroke": look.BLUE, "clip": True}
        bar = self._stretches(group, group.columns.flags, mark)
        bar["encoding"] |= {"y": {"value": self.height - 5}, "y2": {"value": self.height}}
        return bar

    def _stretches(self, group: _Group, labels: list[str], mark: look.Style) -> dict[str, Any]:
        """Rectangles over the rows with these labels."""
        found = [
            spans(group.rows, _X, name, self.width).with_columns(rows=pl.lit(_words(name)))
            for name in labels
        ]
        at = {"x": self._at("start"), "x2": {"field": "end"}, "fill": self.fill}
        return {"data": look.data(pl.concat(found)), "mark": mark, "encoding": at}

    def _said(self, group: _Group, titles: dict[str, str]) -> moves.Said:
        """What the pointer shows in the panel of each column: titles and values."""
        rows, columns = group.rows, group.columns
        time = ("row", pl.col(_X).cast(pl.Int64))
        if columns.order_by is not None:
            time = (columns.order_by, times.shown(column(columns.order_by), self.dtype))
        shaded = [
            pl.when(column(n)).then(pl.lit(_words(n))) for n in (*columns.labels, *columns.flags)
        ]
        kinds = (
            [("rows", pl.concat_str(shaded, separator=", ", ignore_nulls=True))] if shaded else []
        )
        ends = ("", columns.suffix, "_expected", *_BOUNDS)
        said = {}
        for name in (*self.features, *columns.scores):
            own = [(end, f"{name}{end}") for end in ends if f"{name}{end}" in rows.columns]
            values = [(f"{titles[name]}{_words(end)}", column(one)) for end, one in own]
            said[name] = [time, *values, *kinds]
        return said

    def _overview(self, group: _Group) -> dict[str, Any]:
        """A strip with the first feature, and all shaded and flagged rows, for the brush."""
        rows = thin(group.rows.select(_X, value=drawable(self.features[0])), _X, self.width // 2)
        axis = look.numbers(labels=False, ticks=False, grid=False)
        x = self._at() | {"axis": axis, "title": None, "scale": moves.plain(self.timed)}
        y = _y() | {"axis": _y_axis(labels=False, ticks=False, grid=False)}
        line = {"type": "line", "strokeWidth": 1, "color": look.GREY}
        drawn: dict[str, Any] = {"data": look.data(rows), "mark": line}
        layers = [drawn | {"encoding": {"x": x, "y": y}}]
        marked = [*group.columns.labels, *group.columns.flags]
        if marked:
            shade = self._stretches(group, marked, {"type": "rect", "opacity": 0.8})
            layers.insert(0, _with_axis(shade, {"scale": moves.plain(self.timed)}))
        layers[-1]["name"] = self.moves.strip
        title = look.panel_title("the whole series: drag to select", color=look.QUIET)
        size = {"width": self.width, "height": 34, "view": look.NO_FRAME, "title": title}
        return {"layer": layers, "name": moves.OVERVIEW, **size}


def _one_colour_per_kind(frame: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """The frame with kinds as an Enum of all kinds in any group."""
    if not _names_kinds(schema):
        return frame
    kind = pl.col(_KIND).cast(pl.String)
    found = frame.select(kind.drop_nulls().unique().sort()).collect()[_KIND]
    return frame.with_columns(kind.cast(pl.Enum(found)))


def _names_kinds(schema: pl.Schema) -> bool:
    kind = schema.get(_KIND)
    return kind is not None and kind.base_type() in (pl.String, pl.Enum, pl.Categorical)


def _by_kind(rows: pl.DataFrame, labels: list[str]) -> tuple[pl.DataFrame, list[str]]:
    """A Boolean column per kind of anomaly instead of one for all, if there are enough colours."""
    kinds = rows[_KIND].cast(pl.String).drop_nulls().unique().sort().to_list()
    given = rows.schema[_KIND]
    if isinstance(given, pl.Enum) and len(given.categories) <= len(look.SHADES):
        kinds = given.categories.to_list()  # the same colour per kind in every group
    if not 0 < len(kinds) <= len(look.SHADES) or set(kinds) & set(rows.columns):
        return rows, labels
    named = pl.col(_KIND).cast(pl.String)
    return rows.with_columns(
        (named == kind).fill_null(value=False).alias(kind) for kind in kinds
    ), kinds


def _with_alarms(rows: pl.DataFrame, alarms: pl.LazyFrame, order_by: str | None) -> pl.DataFrame:
    """The rows with a Boolean column `_ALARM`: whether an alarm covers them."""
    schema = alarms.collect_schema()
    start = "start" if order_by is None else f"{order_by}_start"
    for name in (start, "length" if order_by is None else f"{order_by}_end"):
        require(schema, "alarms", name)
    end = pl.col("start") + pl.col("length") - 1 if order_by is None else column(f"{order_by}_end")
    spans = alarms.select(start=column(start), end=end).collect().sort("start")
    place = rows.select(at=pl.col(_X).cast(pl.UInt32) if order_by is None else column(order_by))
    spans = spans.cast(place.schema["at"])
    found = place.join_asof(spans, left_on="at", right_on="start", strategy="backward")
    return rows.with_columns((found["at"] <= found["end"]).fill_null(value=False).alias(_ALARM))


def _found(
    schema: pl.Schema, role: str, names: str | Sequence[str] | None, usual: str
) -> list[str]:
    """The given columns, or the default one of the verbs."""
    if names is None:
        return [usual] if usual in schema else []
    named = [names] if isinstance(names, str) else list(names)
    for name in named:
        require(schema, role, name)
    return named


def _default_features(schema: pl.Schema, suffix: str, taken: set[str | None]) -> list[str] | None:
    """Columns with a synthetic column, or numeric columns without another role."""
    both = [name for name in schema if f"{name}{suffix}" in schema]
    if both:
        return both
    bounded = [name for name in schema if all(f"{name}{end}" in schema for end in _BOUNDS)]
    made = {f"{name}{end}" for name in bounded for end in ("_expected", *_BOUNDS)}
    made |= {f"{name}_blame" for name in schema}
    chosen = [
        name
        for name, dtype in schema.items()
        if dtype.is_numeric() and name not in _MADE | made and name not in taken
    ]
    return chosen or None


def _rows(at: frames.Inputs, others: list[str], suffix: str) -> pl.DataFrame:
    """The rows to draw in time order; only the required columns are read."""
    names = list(at.features.values())
    made = [f"{name}{end}" for name in names for end in (suffix, "_mask", "_expected", *_BOUNDS)]
    needed = dict.fromkeys([*names, *(n for n in made if n in at.schema), *others, *at.order_by])
    rows = at.frame.select(column(name) for name in needed).collect()
    if not at.order_by:
        return rows.with_row_index(_X).with_columns(pl.col(_X).cast(pl.Float64))
    time = at.order_by[0]
    rows = rows.with_columns(times.position(rows, time).alias(_X)).drop_nulls(_X).sort(_X)
    if rows[_X].is_duplicated().any():
        twice = rows.filter(pl.col(_X).is_duplicated())[time][0]
        msg = (
            f"parameter `order_by` = {time!r}: several rows at {twice}; filter one group"
            " of a frame with several"
        )
        raise ValueError(msg)
    return rows


def _most_hit(parts: list[pl.DataFrame], names: list[str], suffix: str, most: int) -> list[str]:
    """At most `most` of the features, those with the most generated values, in their order."""
    if len(names) <= most:
        return names
    hits = dict.fromkeys(names, 0)
    for rows in parts:
        for name in names:
            if f"{name}{suffix}" in rows.columns:
                hits[name] += rows.select(_changed(rows, name, suffix).sum()).item()
    return look.most_hit(hits, most)


def _changed(rows: pl.DataFrame, name: str, suffix: str) -> pl.Expr:
    """Whether a row's value was generated: by the mask, or where both values differ."""
    if f"{name}_mask" in rows.columns:
        return column(f"{name}_mask").fill_null(value=False)
    return column(name).ne_missing(column(f"{name}{suffix}"))


def _y() -> look.Style:
    scale = {"zero": False}
    return {**_VALUE, "title": None, "scale": scale, "axis": _y_axis()}


_VALUE = {"field": "value", "type": "quantitative"}
_BAND = "expected range"
_TICKS = "max(3, ceil((width || 820) / 90))"
"""As many labels of the time as there is room for."""


def _y_axis(**given: Any) -> look.Style:
    # The same width for labels in every panel, so that the panels are aligned.
    return look.numbers(**({"tickCount": 3, "minExtent": 42} | given))


def _level(threshold: float) -> list[dict[str, Any]]:
    """A dashed line at the threshold, and its value."""
    data = look.data(pl.DataFrame({"value": [float(threshold)]}))
    rule = {"type": "rule", "strokeDash": [5, 4], "color": look.INK, "strokeWidth": 1.2}
    text = {"type": "text", "align": "right", "baseline": "bottom", "dy": -3, "fontSize": 11}
    text |= {"text": f"threshold {threshold:.4g}", "color": look.INK}
    right = {"y": _VALUE, "x": {"value": "width"}}
    return [
        {"data": data, "mark": rule, "encoding": {"y": _VALUE}},
        {"data": data, "mark": text, "encoding": right},
    ]


def _with_axis(layer: dict[str, Any], x: look.Style) -> dict[str, Any]:
    """A layer with the axis of its panel."""
    encoding = layer["encoding"]
    return layer | {"encoding": encoding | {"x": encoding["x"] | x}}


def _words(name: str) -> str:
    return name.replace("_", " ")
