"""What a fitted detector flags: probes on windows whose rows are all labelled normal.

A detector that flags everything, or whatever a VAE has decoded, may still rank rows well. The
probes are the share of windows in which it labels a row, where one of 1,000 normal rows may be
labelled: of normal windows, of their plain reconstructions, and of windows with an injected shift,
flat line, change of season or spike.
"""

from __future__ import annotations

import polars as pl

import polars_genias as pg

INJECTED = {
    "shift": {"kind": "mean", "contamination": 0.15, "length": 50},
    "flat": {"kind": "platform", "contamination": 0.15, "length": 50},
    "season": {"kind": "seasonal", "contamination": 0.15, "length": 50},
    "spike": {"kind": "extremum", "contamination": 0.005},
}
"""Options of `inject` per probe: about six windows of ten have an anomaly."""

PROBES = ("normal", "reconstruction", *INJECTED)


class Probes:
    """The probes of a dataset, made once for all detectors.

    Windows lie end to end with a row of nulls between them, so that a score sees one window only.
    """

    def __init__(
        self, test: pl.DataFrame, features: list[str], models: pl.DataFrame, window: int, seed: int
    ) -> None:
        self.features = features
        rows = _laid_out(test, features, window)
        at = {"features": features, "by": "series", "order_by": "t"}
        self.rows = {"normal": rows, "reconstruction": self._reconstructed(rows, models)}
        for name, options in INJECTED.items():
            self.rows[name] = rows.genias.inject(**at, **options, seed=seed)

    def _reconstructed(self, rows: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
        parts = []
        for (series,), group in rows.group_by("series", maintain_order=True):
            model = models.filter(pl.col("series") == series)["model"][0]
            made = pg.reconstruct(pl.struct(self.features), model=model, suffix="_synthetic")
            parts.append(group.with_columns(made.struct.unnest()))
        return pl.concat(parts)

    def flagged(self, models: pl.DataFrame) -> pl.DataFrame:
        """One row per series: a column ``probe_{name}`` for each probe, in [0, 1]."""
        table = models.select("series")
        for name, rows in self.rows.items():
            table = table.join(self._share(rows, models, name), on="series", how="left")
        return table

    def _share(self, rows: pl.DataFrame, models: pl.DataFrame, name: str) -> pl.DataFrame:
        ending = "" if name == "normal" else "_synthetic"
        features = {feature: f"{feature}{ending}" for feature in self.features}
        hit = pl.col("is_anomaly").any() if name in INJECTED else pl.lit(value=True)
        labelled = rows.lazy().genias.label(
            features=features,
            by="series",
            order_by="t",
            models=models,
            name="flagged",
            false_alarm_rate=0.001,
        )
        windows = labelled.filter("inside").group_by("series", "place")
        shares = windows.agg(hit.alias("hit"), pl.col("flagged").any()).filter("hit")
        return (
            shares.group_by("series").agg(pl.col("flagged").mean().alias(f"probe_{name}")).collect()
        )


def _laid_out(test: pl.DataFrame, features: list[str], window: int) -> pl.DataFrame:
    """The test rows, null but for the windows that are whole and have no anomalous row."""
    row = pl.int_range(pl.len()).over("series")
    rows = test.with_columns(place=row // (window + 1), inside=row % (window + 1) < window)
    clean = ~pl.col("label").any() & (pl.col("inside").sum() == window)
    rows = rows.with_columns(inside=pl.col("inside") & clean.over("series", "place"))
    return rows.with_columns(pl.when("inside").then(pl.col(feature)) for feature in features)
