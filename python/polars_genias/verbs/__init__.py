"""The verbs as functions of a frame or a column.

Given a frame, a verb returns a frame of the same type. Given a column (a name or an expression; a
struct of columns for several features), it returns an expression. The namespaces ``.genias`` call
these functions, and `polars_genias.spark` runs those of frames.
"""

from polars_genias.verbs._compare import compare
from polars_genias.verbs._describe import describe, health
from polars_genias.verbs._events import events
from polars_genias.verbs._explain import expect, explain
from polars_genias.verbs._fit import fit
from polars_genias.verbs._generate import generate
from polars_genias.verbs._inject import inject
from polars_genias.verbs._label import alarms, label
from polars_genias.verbs._model import embed, reconstruct
from polars_genias.verbs._pairs import pairs
from polars_genias.verbs._score import score
from polars_genias.verbs._sensitivity import sensitivity
from polars_genias.verbs._windows import windows

__all__ = [
    "alarms",
    "compare",
    "describe",
    "embed",
    "events",
    "expect",
    "explain",
    "fit",
    "generate",
    "health",
    "inject",
    "label",
    "pairs",
    "reconstruct",
    "score",
    "sensitivity",
    "windows",
]
