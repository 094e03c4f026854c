"""Models that show what they are: in a terminal, and as a table in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias._models import companion, model_bytes, model_column, model_table, model_value
from polars_genias._names import column
from polars_genias.verbs import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polars_genias._types import IntoModels, Table

_FACTS = ("features", "window", "detector", "threshold", "psi", "r2", "r2_pca", "steps", "health")
"""What is shown of a model, in this order."""


class Model(bytes):
    """One model, as `fit` gives it, that shows what it is. Every verb accepts it as ``model``.

    Parameters
    ----------
    model
        Bytes, a file, or a table of one model.

    Raises
    ------
    ValueError
        For a table of several models, or a null model.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> model = pg.Model(wave.genias.fit(window=16, steps=20))
    >>> model
    <GenIAS model: 1 feature, window 16, detector evidence, 1 warning>
    >>> model.features
    ['cpu']
    """

    def __new__(cls, model: IntoModels) -> Model:
        """Read the bytes of a model."""
        return super().__new__(cls, model_bytes(model))

    @property
    def features(self) -> list[str]:
        """Names of its features."""
        return list(self.describe()["features"])

    def describe(self) -> dict[str, Any]:
        """Results and options of its fit: the columns of `polars_genias.describe` by name."""
        table = pl.DataFrame({"model": [bytes(self)]}).select(describe("model")).unnest("model")
        return table.row(0, named=True)

    def health(self) -> list[str]:
        """Names of its warnings, explained in ``docs/diagnostics.md``."""
        return list(self.describe()["health"])

    def __repr__(self) -> str:
        return _words(self.describe())

    def _repr_html_(self) -> str:
        return _table(["", "model"], [[name, text] for name, text in _facts(self.describe())])


class Models:
    """A table of models that shows what they are: one line per model, without its bytes.

    Parameters
    ----------
    models
        The result of `fit` for a frame, or its file.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> waves = pl.concat(wave.with_columns(host=pl.lit(name)) for name in "ab")
    >>> models = pg.Models(waves.genias.fit(by="host", window=16, steps=20))
    >>> models
    a: <GenIAS model: 1 feature, window 16, detector evidence, 1 warning>
    b: <GenIAS model: 1 feature, window 16, detector evidence, 1 warning>
    >>> models["b"].features
    ['cpu']
    """

    def __init__(self, models: Table | str | Path) -> None:
        table = model_table(models)
        self._column = model_column(table, [])
        self.table: pl.DataFrame = table.collect()
        """The table itself, which the verbs accept as ``models``."""

    def __len__(self) -> int:
        return self.table.height

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the keys."""
        return iter(self._keys())

    def __getitem__(self, key: Any) -> Model:
        """Return the model of a key; of several keys, as a tuple."""
        keys = self._keys()
        if key not in keys:
            msg = f"no model of {key!r}; there are {keys[:5]}"
            raise KeyError(msg)
        return Model(self.table.slice(keys.index(key), 1))

    def describe(self) -> pl.DataFrame:
        """Return the table of `polars_genias.describe`."""
        return describe(self.table)

    def __repr__(self) -> str:
        lines = [f"{_key(key)}: {_words(about)}" for key, about in self._described()]
        return "\n".join(lines) or "<no GenIAS model>"

    def _repr_html_(self) -> str:
        rows = [[_key(key), *(t for _, t in _facts(about))] for key, about in self._described()]
        return _table([_key(tuple(self._names())), *_FACTS], rows)

    def _names(self) -> list[str]:
        own = (self._column, companion(self.table, self._column))
        return [name for name in self.table.columns if name not in own]

    def _keys(self) -> list[Any]:
        keys = self.table.select(column(name) for name in self._names()).rows()
        return [key[0] if len(key) == 1 else key for key in keys]

    def _described(self) -> list[tuple[Any, dict[str, Any]]]:
        models = model_value(self.table, self._column)
        about = self.table.select(describe(models).alias("about")).unnest("about")
        keys = self._keys() or [()] * self.table.height
        return list(zip(keys, about.iter_rows(named=True), strict=True))


def _key(key: Any) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _words(about: dict[str, Any]) -> str:
    """A model in one line."""
    if about["features"] is None:
        return "<no GenIAS model>"
    count = len(about["features"])
    warned = len(about["health"])
    parts = [f"{count} feature{'s' * (count != 1)}", f"window {about['window']}"]
    parts += [f"detector {about['detector']}"] if about["detector"] else []
    parts += [f"{warned} warning{'s' * (warned != 1)}"] if warned else []
    return f"<GenIAS model: {', '.join(parts)}>"


def _facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _text(about[name])) for name in _FACTS]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A table in HTML."""
    import html

    lines = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"
