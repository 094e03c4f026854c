"""Lazy verbs as IO sources: the query determines which groups are processed.

Groups are independent. A condition on the keys can therefore be applied before a verb, and a large
frame can be processed in batches of whole groups. Polars 2 passes conditions, columns and the
number of rows to a source, and forwards its exceptions; with earlier versions, a verb processes all
groups at once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs
from polars.io.plugins import register_io_source

from polars_genias._batches import collected, in_batches, only, safe_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from polars_genias._frames import Inputs
    from polars_genias._types import IntoModels

    Build = Callable[[Inputs], pl.LazyFrame]

_SOURCES = int(pl.__version__.split(".")[0]) >= 2
"""Whether Polars forwards the exceptions of a source unchanged."""


def sourced(
    at: Inputs, build: Build, models: IntoModels | None = None, adds: Sequence[str] | None = None
) -> pl.LazyFrame:
    """The result of `build`, which reads `models`, as an IO source if the frame is lazy.

    `adds` are the columns that the verb adds to the rows of the input; None for a new table.
    """
    query = build(at)
    if not (_SOURCES and at.lazy) or (adds is None and not at.by):
        return query
    return register_io_source(
        _Source(at, build, models, adds),
        schema=query.collect_schema,
        explain_name="genias",
        is_pure=True,
    )


class _Source:
    """The callback of `register_io_source`."""

    def __init__(
        self, at: Inputs, build: Build, models: IntoModels | None, adds: Sequence[str] | None
    ) -> None:
        self.at = at
        self.build = build
        self.models = models
        self.adds = adds

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        _batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the columns `with_columns` of the first `n_rows` rows, if `predicate` holds."""
        if not self._is_asked_for(with_columns, predicate):
            rows = _asked(self.at.frame, with_columns, predicate, n_rows)
            return iter([collected(rows)])
        if n_rows is not None:
            query = self.build(self._first_groups(n_rows))
            return iter([collected(_asked(query, with_columns, predicate, n_rows))])
        of_keys, others = _split(predicate, self.at.by)
        at = self.at if of_keys is None else replace(self.at, frame=self.at.frame.filter(of_keys))
        return self._in_batches(at, with_columns, others)

    def _is_asked_for(self, with_columns: list[str] | None, predicate: pl.Expr | None) -> bool:
        """Whether the query needs a column of the verb."""
        if self.adds is None or with_columns is None:
            return True
        conditions = [] if predicate is None else predicate.meta.root_names()
        return not set(self.adds).isdisjoint([*with_columns, *conditions])

    def _first_groups(self, n_rows: int) -> Inputs:
        """The groups with one of the first rows; for a table, all groups."""
        if self.adds is None or not self.at.by:
            return self.at
        first = self.at.shielded.head(n_rows).select(safe_keys(self.at)).unique()
        return only(self.at, first.collect())

    def _in_batches(
        self, at: Inputs, with_columns: list[str] | None, others: pl.Expr | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the results of all groups, in batches if they need much memory."""

        def asked(part: Inputs, kept: Sequence[str] = ()) -> pl.LazyFrame:
            columns = None if with_columns is None else [*with_columns, *kept]
            return _asked(self.build(part), columns, others)

        return in_batches(at, self.models, asked, keeps_rows=self.adds is not None)


def _asked(
    query: pl.LazyFrame,
    columns: Sequence[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None = None,
) -> pl.LazyFrame:
    """The columns of the first rows that meet a condition."""
    query = query if n_rows is None else query.head(n_rows)
    query = query if predicate is None else query.filter(predicate)
    return query if columns is None else query.select(cs.by_name(*columns))


def _split(predicate: pl.Expr | None, keys: Sequence[str]) -> tuple[pl.Expr | None, pl.Expr | None]:
    """The part of a condition that only needs the keys, and the rest."""
    of_keys: list[pl.Expr] = []
    others: list[pl.Expr] = []
    for part in _parts(predicate):
        (of_keys if set(part.meta.root_names()) <= set(keys) else others).append(part)
    return _all(of_keys), _all(others)


def _parts(condition: pl.Expr | None) -> list[pl.Expr]:
    """The conditions joined by `&`."""
    if condition is None:
        return []
    inputs = condition.meta.pop()
    if len(inputs) == 2:  # the sides of an operator
        right, left = inputs
        if condition.meta == left & right:
            return [*_parts(left), *_parts(right)]
    return [condition]


def _all(conditions: Sequence[pl.Expr]) -> pl.Expr | None:
    return reduce(and_, conditions) if conditions else None
