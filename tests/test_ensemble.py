"""The ensemble's arithmetic on tables whose answer is known."""
import numpy as np
import pandas as pd
import pytest

import config
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


def test_a_sure_member_outweighs_an_unsure_one():
    tables = ensemble.add_ensemble(run_of(("mfcc", "cnn1d", 0, 0.9), ("mel", "mlp", 0, 0.4)))
    ours = tables["predictions"][tables["predictions"].model == "ensemble"]
    assert len(ours) == 16 and set(ours.feature) == {"all"} and (ours.predicted == ours.true).all()
    assert np.allclose(ours[COLUMNS].max(axis=1), (0.9 + 0.4) / 2)
    fit = tables["fits"].iloc[-1]
    assert (fit.model, fit.accuracy, fit.validation_accuracy) == ("ensemble", 1, 1)
    assert (fit.fit_seconds, fit.parameters) == (4, 20)


def test_the_better_half_by_validation_loss_in_each_fold_is_averaged():
    """Whatever the test clips say: in fold 1 the other two are better on validation."""
    sure = {("mfcc", "cnn1d"): (0.9, 0.3), ("mel", "cnn1d"): (0.4, 0.8), ("mfcc", "mlp"): (0.7, 0.2),
            ("mel", "mlp"): (0.35, 0.75)}
    tables = run_of(*[(*experiment, fold, each[fold]) for experiment, each in sure.items() for fold in (0, 1)])
    tables["predictions"]["true"] = np.roll(tables["predictions"].true, 1)      # all wrong: of no account
    assert ensemble.select_members(tables["validation"].query("fold == 0")) == [("mfcc", "cnn1d"), ("mfcc", "mlp")]
    assert ensemble.select_members(tables["validation"].query("fold == 1")) == [("mel", "cnn1d"), ("mel", "mlp")]
    ours = ensemble.add_ensemble(tables)["predictions"].query("model == 'ensemble'")
    assert np.allclose(ours[COLUMNS].max(axis=1).groupby(ours.fold).first(), [(0.9 + 0.7) / 2, (0.8 + 0.75) / 2])
    assert ensemble.add_ensemble(tables)["fits"].query("model == 'ensemble'").parameters.tolist() == [20, 20]


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
