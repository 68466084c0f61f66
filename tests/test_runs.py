"""The tables of a run: what they compare, and that those we publish are what they say."""
import numpy as np
import pandas as pd
from commands import ROOT

from study import ensemble, runs

README = (ROOT / "README.md").read_text()


def test_models_are_compared_with_the_one_that_validation_prefers():
    """Not with the one that tests best, and not with the ensemble."""
    rows, tables = [], []
    for feature, model, validation, test in (("mfcc", "mlp", 0.9, (0.5, 0.75)), ("mel", "mlp", 0.8, (1.0, 0.75)),
                                             (*ensemble.NAME, 0.99, (0.75, 1.0))):
        for fold, accuracy in enumerate(test):
            rows.append(dict(feature=feature, model=model, fold=fold, protocol="p", validation_accuracy=validation,
                             accuracy=accuracy, uar=accuracy, weighted_f1=accuracy, macro_f1=accuracy, parameters=1))
            predicted = np.where(np.arange(4) < 4 * accuracy, "sad", "calm")
            tables.append(pd.DataFrame(dict(feature=feature, model=model, fold=fold, actor=np.arange(4), true="sad",
                                            predicted=predicted)))
    summary = runs.summarise(pd.DataFrame(rows), pd.concat(tables), 2).set_index("feature")
    assert summary.p_against_best.isna().to_dict() == {"mfcc": True, "mel": False, "all": False}
    assert summary.p_against_best["all"] == 0                               # a quarter better in every fold


def test_the_published_run_is_what_readme_says():
    summary = runs.read_run(ROOT / "reference").summary
    published = [line for line in README.splitlines() if line.count("|") == 11 and "±" in line]
    assert len(published) == len(summary) == 19
    for row, line in zip(summary.itertuples(), published):
        told = [f"{100 * getattr(row, f'{name}_mean'):.1f} ± {100 * getattr(row, f'{name}_std'):.1f}"
                for name in ("accuracy", "uar", "weighted_f1", "macro_f1")]
        interval = f"{100 * row.accuracy_low:.1f} to {100 * row.accuracy_high:.1f}"
        assert line.split(" | ")[2:7] == [told[0], interval, *told[1:]] and f"{row.parameters:,}" in line, line


def test_the_published_run_adds_up():
    """Accuracies are those of the predictions, every clip is tested once, no recording is in two parts of a member."""
    study, key = runs.read_run(ROOT / "reference"), ["feature", "model", "fold"]
    hits = study.predictions.assign(right=study.predictions.true == study.predictions.predicted)
    assert np.allclose(hits.groupby(key).right.mean(), study.fits.set_index(key).accuracy.sort_index(), atol=1e-6)
    for _, rows in study.predictions.groupby(["feature", "model"]):
        assert sorted(rows.file) == sorted(study.folds.file) and len(rows) == 1440
    assert study.predictions.merge(study.folds, on="file").eval("fold_x == fold_y and true == emotion").all()
    assert (study.folds.groupby("recording")[[f"part_{fold}" for fold in range(5)]].nunique() == 1).all(axis=None)
