"""What moves in a chart: the pointer, zoom, the brush of the overview, the width of the page."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, cast

import altair as alt
import polars as pl
import polars.selectors as cs

from polars_genias.plots import _look as look
from polars_genias.plots._thin import pixel

if TYPE_CHECKING:
    from collections.abc import Callable

_X = "__x"
OWN = "genias_"
"""How the names of parameters, and of views that only move, begin."""
OVERVIEW = f"{OWN}overview"
_MOST_POINTED = 400
"""Places that the pointer tells apart."""
_BESIDE = 90
"""Pixels of a chart beside its panels: labels and padding."""


_LEGENDS = {"top": {"anchor": "start", "direction": "vertical"}}
"""Legends one below the other: a phone has no room for two."""

Said = dict[str, list[tuple[str, pl.Expr]]]
"""Titles and values that the pointer shows, by the column of a panel."""


class Moves:
    """The parameters of a chart; charts of other rows have other names of parameters."""

    def __init__(self, rows: pl.DataFrame, *, overview: bool) -> None:
        told = f"{rows.columns} {rows.height} {rows[_X].head(50).to_list()}"
        of = zlib.crc32(told.encode())
        self.name = f"{OWN}{of:x}_"
        self.overview = overview
        self.strip = f"{self.name}strip"
        self.views: list[str] = []

    def params(self) -> list[Any]:
        """The parameters of the chart."""
        over: look.Style = {"type": "point", "fields": ["start"], "on": "pointerover"}
        made: list[Any] = [
            alt.TopLevelSelectionParameter(f"{self.name}hover", select=over, views=self.views)
        ]
        along: look.Style = {"type": "interval", "encodings": ["x"]}
        if self.overview:
            name, views = f"{self.name}brush", [self.strip]
            made.append(alt.TopLevelSelectionParameter(name, select=along, views=views))
        else:
            given: look.Style = {"select": along, "bind": "scales", "views": self.views}
            made.append(alt.TopLevelSelectionParameter(f"{self.name}zoom", **given))
        return made

    def scale(self, timed: bool) -> look.Style:
        """The scale of the time: what the brush selects."""
        selected = {"domain": {"param": f"{self.name}brush"}} if self.overview else {}
        return plain(timed) | selected

    def pointer(
        self, rows: pl.DataFrame, said: Said, width: int
    ) -> Callable[[str, look.Style], dict[str, Any]]:
        """A function of a column: the layer of its panel that shows the values at the pointer."""
        shown, short = _pointed(rows, [one for part in said.values() for one in part], width)
        data = look.data(shown)

        def layer(column: str, start: look.Style) -> dict[str, Any]:
            self.views.append(f"{self.name}pointer_{len(self.views)}")
            tooltip = [
                {"field": short[title], "type": "nominal", "title": title}
                for title, _ in said[column]
            ]
            seen = {"param": f"{self.name}hover", "empty": False, "value": 0.18}
            at = {"x": start, "x2": {"field": "end"}, "tooltip": tooltip}
            at["opacity"] = {"condition": seen, "value": 0}
            mark = {"type": "rect", "color": look.GREY, "clip": True}
            return {"name": self.views[-1], "data": data, "mark": mark, "encoding": at}

        return layer


def plain(timed: bool) -> look.Style:
    """A scale over all of the time."""
    return {"nice": False} | ({"type": "utc"} if timed else {"zero": False})


def _pointed(
    rows: pl.DataFrame, said: list[tuple[str, pl.Expr]], width: int
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Rows to show at the pointer, and the names of their columns by title."""
    titles = dict(said)
    short = {title: f"v{number}" for number, title in enumerate(titles)}
    marked = titles.get("rows", pl.lit("")).str.len_chars() > 0
    bins = min(width // 2, _MOST_POINTED)
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    chosen = (
        rows.lazy()
        .select(bin=pixel(_X, bins), row=row, marked=marked.fill_null(value=False))
        .group_by("bin")
        .agg(pl.col("row").get(pl.col("marked").arg_max()))
        .sort("row")
        .collect()["row"]
    )
    x = pl.col(_X)
    middle = (x + x.shift(-1)) / 2
    shown = rows.select(pl.all().gather(chosen.drop_nulls())).select(
        start=middle.shift(1).fill_null(x.min()),
        end=middle.fill_null(x.max()),
        **{short[title]: value for title, value in titles.items()},
    )
    floats = cs.by_name(short.values()) & cs.float()
    return shown.with_columns(floats.round_sig_figs(5)), short


class Panels(alt.VConcatChart):
    """Stacked panels that are as wide as the page, in a notebook and in HTML.

    The panels are parts of a specification: Altair would copy and check each of them many times.
    """

    def __init__(self, **parts: Any) -> None:
        super(alt.VConcatChart, self).__init__(**parts)

    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As for other charts, with how the page sets the width."""
        spec: dict[str, Any] = super().to_dict(*args, **{**kwargs, "validate": False})
        if "$schema" in spec:
            spec.setdefault("usermeta", {"embedOptions": {"patch": _as_wide(_width(spec))}})
            datasets = spec.setdefault("datasets", {})
            spec["vconcat"] = _shared(spec["vconcat"], datasets)
            spec.setdefault("config", {})["legend"] = {"layout": _LEGENDS}
        return spec

    def __and__(self, other: Any) -> alt.VConcatChart:
        """Both charts, one above the other."""
        made = alt.vconcat(self, other).resolve_scale(color="independent", fill="independent")
        return cast("alt.VConcatChart", made)

    def __or__(self, other: Any) -> alt.HConcatChart:
        """Both charts, side by side."""
        made = alt.hconcat(self, other).resolve_scale(color="independent", fill="independent")
        return cast("alt.HConcatChart", made)


def _shared(part: Any, datasets: dict[str, Any]) -> Any:
    """Parts of a specification whose data are in `datasets`, once each."""
    if isinstance(part, list):
        return [_shared(of, datasets) for of in part]
    if not isinstance(part, dict):
        return part
    if "values" in part and "format" in part:
        name = f"data-{zlib.crc32(part['values'].encode()):08x}-{len(part['values'])}"
        datasets[name] = part["values"]
        return {"name": name, "format": part["format"]}
    deeper = ("vconcat", "layer", "data")
    return {name: _shared(of, datasets) if name in deeper else of for name, of in part.items()}


def _width(spec: dict[str, Any]) -> int:
    """Of the first panel."""
    while "vconcat" in spec:
        spec = spec["vconcat"][0]
    return int(spec.get("width", 0))


def _as_wide(width: int) -> list[dict[str, Any]]:
    """Changes of the compiled chart: its width follows that of the page, where this has one."""
    page = "containerSize()[0]"
    found = f"isFinite({page}) && {page} > {_BESIDE} ? max(250, {page}) : {width + _BESIDE}"
    follows: dict[str, Any] = {"name": "width", "init": found}
    follows["on"] = [{"events": "window:resize", "update": found}]
    fitted = {"type": "fit-x", "contains": "padding"}
    return [
        {"op": "add", "path": "/signals/0", "value": follows},
        {"op": "add", "path": "/autosize", "value": fitted},
    ]


def still(spec: Any) -> Any:
    """A specification for a picture: without what needs a pointer."""
    if isinstance(spec, list):
        return [still(of) for of in spec if not _moves(of)]
    if not isinstance(spec, dict):
        return spec
    kept = {
        name: of if name == "datasets" else still(of)
        for name, of in spec.items()
        if not (name == "domain" and isinstance(of, dict) and _own(of.get("param")))
    }
    return {name: of for name, of in kept.items() if name != "params" or of}


def _moves(part: Any) -> bool:
    return isinstance(part, dict) and _own(part.get("name"))


def _own(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(OWN)


def from_spec(spec: dict[str, Any]) -> Any:
    """A chart of a specification."""
    if "vconcat" in spec:
        return Panels(**spec)
    kinds: dict[str, Any] = {
        "layer": alt.LayerChart,
        "concat": alt.ConcatChart,
        "hconcat": alt.HConcatChart,
    }
    kind = next((of for name, of in kinds.items() if name in spec), alt.Chart)
    return kind.from_dict(spec, validate=False)
