"""The ensemble's arithmetic on tables whose answer is known."""
import numpy as np
import pandas as pd
import pytest

import config
from ser import metrics
from study import ensemble, runs

COLUMNS = [f"p_{name}" for name in config.CLASSES]


def table(feature, model, fold, sure, clips=16):
    """Clips in turn of each class; the fit gives `sure` to the right one, and the rest to the next."""
    true = np.arange(clips) % 8
    p = sure * np.eye(8)[true] + (1 - sure) * np.eye(8)[(true + 1) % 8]
    names = np.array(config.CLASSES)
    rows = pd.DataFrame(dict(feature=feature, model=model, fold=fold, file=[f"{fold}-{k}.wav" for k in range(clips)],
                             actor=1 + np.arange(clips) % 4, true=names[true], predicted=names[p.argmax(axis=1)]))
    return rows.join(pd.DataFrame(p, columns=COLUMNS))


def run_of(*fits):
    """Tables of a run with a fit for each (feature, model, fold, sure)."""
    predictions = pd.concat([table(*fit) for fit in fits], ignore_index=True)
    rows = [dict(feature=feature, model=model, fold=fold, protocol="p", accuracy=sure > 0.5, fit_seconds=2,
                 parameters=10) for feature, model, fold, sure in fits]
    return {"fits": pd.DataFrame(rows), "predictions": predictions, "validation": predictions.copy(),
            "histories": pd.DataFrame()}


def test_the_weights_are_those_of_the_tables():
    tables = ensemble.add_ensemble(run_of(("mfcc", "cnn1d", 0, 0.9), ("mel", "mlp", 0, 0.6)))
    weights = ensemble.ensemble_weights(run_of(("mfcc", "cnn1d", 0, 0.9), ("mel", "mlp", 0, 0.6))["validation"])
    ours = tables["predictions"][tables["predictions"].model == "ensemble"]
    assert len(ours) == 16 and set(ours.feature) == {"all"} and (ours.predicted == ours.true).all()
    expected = 0.9 * weights.get(("mfcc", "cnn1d"), 0) + 0.6 * weights.get(("mel", "mlp"), 0)
    assert np.allclose(ours[COLUMNS].max(axis=1), expected) and sum(weights.values()) == pytest.approx(1)
    fit = tables["fits"].iloc[-1]
    assert (fit.model, fit.accuracy, fit.validation_accuracy) == ("ensemble", 1, 1)
    assert (fit.fit_seconds, fit.parameters) == (2 * len(weights), 10 * len(weights))


def test_each_fold_learns_from_its_own_validation_clips():
    """Whatever the test clips say: in fold 1 the other two are better on validation."""
    sure = {("mfcc", "cnn1d"): (0.9, 0.3), ("mel", "cnn1d"): (0.4, 0.8), ("mfcc", "mlp"): (0.7, 0.2),
            ("mel", "mlp"): (0.35, 0.75)}
    tables = run_of(*[(*experiment, fold, each[fold]) for experiment, each in sure.items() for fold in (0, 1)])
    before = ensemble.add_ensemble(tables)["predictions"].query("model == 'ensemble'")
    tables["predictions"]["true"] = np.roll(tables["predictions"].true, 1)      # all wrong: of no account
    after = ensemble.add_ensemble(tables)["predictions"].query("model == 'ensemble'")
    assert np.allclose(before[COLUMNS], after[COLUMNS])
    for fold, best in enumerate((("mfcc", "cnn1d"), ("mel", "cnn1d"))):
        weights = ensemble.ensemble_weights(tables["validation"][tables["validation"].fold == fold])
        assert next(iter(weights)) == best and set(weights) <= set(sure)


def noisy(quality, seed, clips=300):
    """Predictions of clips, right by `quality` against noise of standard deviation 1: (clips, 8)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, (clips, 8)) + quality * np.eye(8)[np.arange(clips) % 8]
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def test_what_adds_nothing_gets_no_weight_and_what_is_different_and_good_does():
    labels = np.arange(300) % 8
    good, as_good, noise = noisy(3, 0), noisy(3, 1), noisy(0, 2)
    counts = ensemble.select_greedily(np.stack([good, noise, as_good, good]), labels)
    assert counts[1] == 0 and counts[2] >= 3 and counts[0] + counts[3] >= 3
    losses = ensemble.losses_at_best_temperature(np.stack([good, (good + as_good) / 2, noise]), labels)
    assert losses[1] < losses[0] < losses[2]


def test_a_loss_is_that_of_the_best_temperature_on_a_grid():
    labels, p = np.arange(300) % 8, noisy(2, 0)
    by_hand = min(metrics.cross_entropy(metrics.apply_temperature(p, temperature), labels)
                  for temperature in ensemble.TEMPERATURES)
    assert ensemble.losses_at_best_temperature(p[None], labels)[0] == pytest.approx(by_hand, abs=1e-6)


def test_folds_stay_apart_and_order_does_not_matter():
    fits = [("mfcc", "cnn1d", 0, 0.9), ("mel", "mlp", 0, 0.8), ("mfcc", "cnn1d", 1, 0.2), ("mel", "mlp", 1, 0.4)]
    one, other = ensemble.add_ensemble(run_of(*fits)), ensemble.add_ensemble(run_of(*fits[::-1]))
    assert one["fits"].tail(2).accuracy.tolist() == [1, 0]
    ours = [tables["predictions"].query("model == 'ensemble'").sort_values("file").reset_index(drop=True)
            for tables in (one, other)]
    pd.testing.assert_frame_equal(*ours)


@pytest.mark.parametrize("fits", [
    [], [("mfcc", "cnn1d", 0, 0.9)], [("mfcc", "cnn1d", 0, 0.9), ("mfcc", "cnn1d", 1, 0.9)],
    [("mfcc", "cnn1d", 0, 0.9), ("mel", "mlp", 0, 0.9), ("mel", "mlp", 1, 0.9)]])
def test_there_is_no_ensemble_of_one_experiment_or_of_different_folds(fits):
    tables = run_of(*fits) if fits else {name: pd.DataFrame() for name in runs.RUN_TABLES}
    assert ensemble.add_ensemble(tables) is tables
