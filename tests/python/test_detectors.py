"""Detectors, their thresholds and scores per feature through Polars."""

import polars as pl
import pytest

import polars_genias as pg

pytestmark = pytest.mark.once

QUICK = {
    "window": 32,
    "steps": 60,
    "channels": 8,
    "latent": 8,
}
NETS = QUICK | {"detector_steps": 60}
TRAINED = ["ensemble", "classifier", "carla"]
FRAME = {"features": ["a", "b"], "by": "host", "order_by": "t"}


def waves(rows: int = 600) -> pl.DataFrame:
    """Two hosts of two features, rows of the hosts in turn."""
    t = pl.int_range(2 * rows) // 2
    return pl.select(
        host=pl.when(pl.int_range(2 * rows) % 2 == 0).then(pl.lit("x")).otherwise(pl.lit("y")),
        t=t,
        a=(t / (4 + pl.int_range(2 * rows) % 2)).sin() + 0.1 * (t * 7 % 5),
        b=(t / 9).cos() + 0.1 * (t * 3 % 7),
    )


def disturbed(frame: pl.DataFrame) -> pl.DataFrame:
    """A shift of feature `a` over 20 rows of each host."""
    hit = pl.col("t").is_between(300, 319)
    return frame.with_columns(pl.when(hit).then(pl.col("a") + 4).otherwise("a"), truth=hit)


@pytest.fixture(scope="module")
def models() -> pl.DataFrame:
    frame = waves()
    table = frame.genias.fit(**FRAME, detector="reconstruction", **QUICK)
    for detector in TRAINED:
        table = frame.genias.fit(**FRAME, models=table, detector=detector, **NETS)
    return table


@pytest.mark.parametrize("detector", [*TRAINED, "reconstruction", "amplitude"])
def test_every_detector_scores_every_row(models, detector):
    scored = disturbed(waves()).genias.score(**FRAME, models=models, detector=detector)
    score = scored["anomaly_score"]
    assert score.dtype == pl.Float32
    assert score.null_count() == 0
    assert score.is_finite().all()


@pytest.mark.parametrize("detector", ["ensemble", "classifier", "reconstruction", "amplitude"])
def test_a_shift_is_found(models, detector):
    scored = disturbed(waves()).lazy().genias.score(**FRAME, models=models, detector=detector)
    found = scored.group_by("host").agg(pg.auc_roc("anomaly_score", "truth")).collect()
    assert found["auc_roc"].min() > 0.8


def test_the_detector_that_was_added_last_scores(models):
    frame = waves()
    about = models.select(pg.describe("model")).unnest("model")
    assert about["detector"].unique().to_list() == ["carla"]
    kinds = about["thresholds"].list.eval(pl.element().struct.field("detector")).to_list()
    assert kinds == [["reconstruction", "amplitude", "classifier", "carla", "ensemble"]] * 2
    default = frame.genias.score(**FRAME, models=models)
    carla = frame.genias.score(**FRAME, models=models, detector="carla")
    assert default.equals(carla)


def test_one_query_fits_the_vae_once_for_all_verbs():
    pg.clear_cache()
    before = pg.fit_count()
    frame = waves().lazy()
    column = pl.struct("a", "b").genias
    frame.select(
        column.generate(**QUICK).over("host", order_by="t").alias("g"),
        column.score(detector="ensemble", **NETS).over("host", order_by="t").alias("s"),
        column.score(detector="carla", **NETS).over("host", order_by="t").alias("c"),
    ).collect()
    assert pg.fit_count() == before + 2


def test_expression_equals_frame_verb_and_engines_agree(models):
    frame = waves()
    table = models.rename({"model": "m"})
    by_frame = frame.genias.score(**FRAME, models=models, detector="ensemble")
    # With the order, the windows that score lie on the clock, as those of the frame verb.
    expression = pl.struct("a", "b").genias.score(model="m", detector="ensemble", order_by="t")
    lazy = frame.lazy().join(table.lazy(), on="host", maintain_order="left")
    lazy = lazy.with_columns(anomaly_score=expression.over("host", order_by="t")).drop("m")
    for engine in ("in-memory", "streaming"):
        assert lazy.collect(engine=engine).sort("host", "t").equals(by_frame.sort("host", "t"))


def test_scores_per_feature(models):
    frame = disturbed(waves())
    scored = frame.genias.score(**FRAME, models=models, per_feature=True)
    assert scored.columns == [*frame.columns, "a_score", "b_score"]
    hit = scored.filter("truth")
    assert hit["a_score"].mean() > 5 * hit["b_score"].mean()
    total = frame.genias.score(**FRAME, models=models, detector="reconstruction")["anomaly_score"]
    both = (scored["a_score"] + scored["b_score"]) / 2
    assert (both - total).abs().max() < 1e-4 * total.max()
    alone = frame.genias.score(features="a", window=32, steps=20, per_feature=True)
    assert alone.columns == [*frame.columns, "a_score"]


def test_thresholds(models):
    frame = disturbed(waves())
    args = FRAME | {"models": models, "detector": "ensemble"}
    score = frame.genias.score(**args)["anomaly_score"]
    about = models.select("host", pg.describe("model").struct.field("thresholds"))
    chosen = about.explode("thresholds").unnest("thresholds").filter(detector="ensemble")
    hosts = frame.join(chosen, on="host", maintain_order="left")
    label = frame.genias.label(**args, threshold="pot")["anomaly_label"]
    assert label.equals((score > hosts["pot"]).alias("anomaly_label"))
    assert frame.genias.label(**args)["anomaly_label"].equals(
        frame.genias.label(**args, threshold="auto")["anomaly_label"]
    )
    rates = [
        waves().genias.label(**args, quantile=q)["anomaly_label"].mean() for q in (0.1, 0.5, 0.9)
    ]
    assert rates[0] > rates[1] > rates[2]
    above = frame.genias.label(**args, threshold=1.5)["anomaly_label"]
    assert above.equals((score > 1.5).alias("anomaly_label"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"detector": "karla"}, "`detector`"),
        ({"negatives": "none"}, "`negatives`"),
        ({"nets": 0}, "`nets` = 0"),
        ({"detector_steps": 0}, "`detector_steps` = 0"),
        ({"aggregate": "sum"}, "`aggregate`"),
        ({"score_stride": 0}, "`score_stride` = 0"),
        ({"per_feature": True, "detector": "carla"}, "per_feature"),
        ({"classes": 1}, "`classes` = 1"),
        ({"temperature": 0}, "`temperature` = 0"),
    ],
)
def test_bad_options(options, text):
    with pytest.raises(ValueError, match=text):
        waves().lazy().genias.score(**FRAME, **options)


def test_bad_thresholds():
    for options in ({"threshold": "high"}, {"quantile": 2}, {"quantile": 0.5, "threshold": 1}):
        with pytest.raises(ValueError, match=r"threshold|quantile"):
            waves().lazy().genias.label(**FRAME, **options)


def test_a_detector_that_the_model_lacks_is_named():
    frame = waves()
    table = frame.genias.fit(**FRAME, detector="reconstruction", **QUICK)
    with pytest.raises(pl.exceptions.ComputeError, match=r"`detector` = carla.*reconstruction"):
        frame.genias.score(**FRAME, models=table, detector="carla")


@pytest.mark.parametrize("detector", TRAINED)
def test_odd_series(detector):
    """Constant, one-dimensional, exactly one window long, and too short."""
    t = pl.int_range(100)
    frame = pl.select(
        host=pl.when(t < 32)
        .then(pl.lit("exact"))
        .when(t < 50)
        .then(pl.lit("short"))
        .otherwise(pl.lit("constant")),
        t=t,
        a=pl.when(t < 50).then((t / 3).sin()).otherwise(2.0),
    )
    options = NETS | {"detector": detector}
    scored = frame.genias.score(features="a", by="host", order_by="t", **options)
    for (host,), rows in scored.group_by("host"):
        score = rows["anomaly_score"]
        if host == "short":
            assert score.null_count() == len(score)
        else:
            assert score.is_finite().all(), host
