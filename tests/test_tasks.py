"""The identity of a fit: what makes a finished one be done again, and what does not."""
import copy
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import config
from data_preprocessing import extraction_params
from ser.errors import UserError
from ser.machine import PACKAGES
from ser.settings import override, read_settings
from study import runs, tasks

N_CLIPS = 160
SETTINGS = read_settings(config).replace(N_FOLDS=3, ENSEMBLE_SIZE=2)
EXTRACTED = SimpleNamespace(speaker_means={},
                            sequences={name: np.empty((1, 1, 5, 40)) for name in ("mfcc", "mel", "gauss")},
                            functionals={name: np.empty((1, 1, 13 * n)) for name, n in (
                                ("mfcc", 40), ("mel", 40), ("gauss", 40), ("all", 120))})


@pytest.fixture(scope="module")
def clips():
    names = [f"{k:02d}" for k in range(N_CLIPS)]
    return pd.DataFrame(dict(file=names, actor=1, label=np.arange(N_CLIPS) % 8, recording=names, sound=names,
                             level_dbfs=-30.0, noise_db=-60.0, bandwidth_hz=2e4))


@pytest.fixture(scope="module")
def folds(clips):
    return tasks.make_folds("stratified", clips, SETTINGS)


def fit_ids(clips, folds, settings=SETTINGS, names=("mfcc", "mel")):
    """{(feature, model, fold): fit_id} of a study of two features."""
    plan = tasks.Plan(clips, settings.CLASSES, names, settings.MODELS, folds, "in words")
    extraction = extraction_params(settings, plan.features)
    return {(task.feature, task.model, task.fold): task.fit_id
            for task in tasks.make_tasks(plan, extraction, EXTRACTED, settings)}


def changed_models(before, after):
    """The models of which every fit has another id; no fit of another model has."""
    changed = {names for names in before if before[names] != after[names]}
    models = {model for _, model, _ in changed}
    assert changed == {names for names in before if names[1] in models}
    return models


def test_every_fit_has_an_id_of_its_own_that_stays(clips, folds):
    ids = fit_ids(clips, folds)
    assert len(set(ids.values())) == len(ids) == 2 * 7 * 3 and fit_ids(clips, folds) == ids


def test_a_feature_of_functionals_alone_has_no_fits_of_models_on_frames(clips, folds):
    assert {model for feature, model, _ in fit_ids(clips, folds, names=("mfcc", "all")) if feature == "all"} == {
        "mlp", "svm", "linear"}


@pytest.mark.parametrize("told", [{"label": 3}, {"actor": 2}])
def test_another_label_or_speaker_in_the_table_of_clips_is_other_data(clips, folds, told):
    (column, value), = told.items()
    other = clips.assign(**{column: np.r_[value, clips[column][1:]]})
    assert set(fit_ids(other, folds).values()).isdisjoint(fit_ids(clips, folds).values())


def test_another_sound_is_other_data(clips, folds):
    other = clips.assign(sound=["another", *clips.sound[1:]])
    assert set(fit_ids(other, folds).values()).isdisjoint(fit_ids(clips, folds).values())


def test_another_feature_in_the_study_changes_no_fit_of_the_others(clips, folds):
    before, after = fit_ids(clips, folds), fit_ids(clips, folds, names=("mfcc", "mel", "gauss"))
    assert {names: after[names] for names in before} == before and len(after) > len(before)


def test_the_weights_of_the_columns_count_however_they_come_about(clips, folds, monkeypatch):
    before = fit_ids(clips, folds)
    monkeypatch.setitem(tasks.features.FEATURES, "mel", tasks.features.FEATURES["mel"]._replace(cepstral=True))
    after = fit_ids(clips, folds)
    assert {names for names in before if after[names] != before[names]} == {
        names for names in before if names[0] == "mel"}


def test_another_split_of_a_fold_changes_the_fits_of_that_fold(clips, folds):
    other = copy.deepcopy(folds)
    other[0][0]["train"] = other[0][0]["train"][1:]
    before, after = fit_ids(clips, folds), fit_ids(clips, other)
    assert {names for names in before if after[names] != before[names]} == {names for names in before if names[2] == 0}


NETWORKS = {"cnn1d", "bilstm", "hybrid", "mlp"}


@pytest.mark.parametrize("assignment, models", [
    ("MODELS.mlp.epochs=31", {"mlp"}),
    ("MODELS.bilstm.learning_rate=0.1", {"bilstm"}),
    ("MODELS.cnn1d.builder=model:hybrid", {"cnn1d"}),
    ("MIXUP_ALPHA=0.3", NETWORKS),
    ("CHECKPOINT=best", NETWORKS),
    ("TIME_MASK_SECONDS=0.5", NETWORKS),
    ("MODELS.dtw.input=functionals", {"dtw"}),
    ("SVM_C=3.0", {"svm", "dtw"}),
    ("LINEAR_PENALTY=3.0", {"linear"}),
    ("SEED=7", NETWORKS | {"svm", "dtw", "linear"}),
    ("RUN_NAME=other", set()),
    ("CACHE_DIR=elsewhere", set()),
    ("MODELS.mlp.label=Perceptron", set()),
])
def test_a_setting_changes_the_fits_that_use_it(clips, folds, assignment, models):
    assert changed_models(fit_ids(clips, folds), fit_ids(clips, folds, override(SETTINGS, [assignment]))) == models


def test_the_decay_of_cepstra_touches_cepstra_alone(clips, folds):
    before, after = fit_ids(clips, folds), fit_ids(clips, folds, SETTINGS.replace(CEPSTRAL_DECAY=20.0))
    assert {names for names in before if after[names] != before[names]} == {
        names for names in before if names[0] == "mfcc"}


def test_the_environment_is_that_of_the_fits_not_of_a_command_that_made_none(clips, folds, tmp_path, capsys):
    clips = clips.assign(path="", sound="", emotion="sad")
    plan = tasks.Plan(clips, SETTINGS.CLASSES, ("mfcc",), {}, folds, "in words")
    versions = dict.fromkeys(PACKAGES, "1")

    planned = [SimpleNamespace(name=f"mfcc-mlp-fold{fold}", fit_id="id") for fold in range(2)]

    def written(pending, keras):
        tasks.write_run_metadata(tmp_path / "run", {}, versions | {"keras": keras}, plan, planned, pending)
        return json.loads((tmp_path / "run/environment.json").read_text())["keras"]

    assert written(planned, "1") == "1"
    runs.write_fit(tmp_path / "run/fits/mfcc-mlp-fold0", {"metrics.json": "{}"})
    assert written([], "2") == "1" and not capsys.readouterr().out
    assert written(planned, "2") == "2" and not capsys.readouterr().out         # --overwrite: nothing is kept
    assert written(planned[1:], "3") == "3"
    assert "finished fits were made with keras 2 (now 3), and are kept" in capsys.readouterr().out


class Diverged:
    """An estimator whose training gives no numbers."""
    USES_AUGMENTED = False

    def __init__(self, *given, **named):
        pass

    def fit(self, x, lengths, labels, member_splits, scaler):
        return [np.full((len(split["validation"]), 8), np.nan) for split in member_splits]

    def predict_proba(self, x, lengths):
        return np.full((len(x), 8), np.nan)


def test_training_that_diverged_is_one_clear_line(clips, folds, monkeypatch):
    plan = tasks.Plan(clips, SETTINGS.CLASSES, ("mfcc",), {"mlp": SETTINGS.MODELS["mlp"]}, folds, "in words")
    task = tasks.make_tasks(plan, extraction_params(SETTINGS, plan.features), EXTRACTED, SETTINGS)[0]
    monkeypatch.setattr(tasks, "estimator_class", lambda name: Diverged)
    x = np.random.default_rng(0).standard_normal((N_CLIPS, 1, 13 * 40)).astype(np.float32)
    with pytest.raises(UserError, match="mfcc-mlp-fold0: training diverged.*learning_rate"):
        tasks.run_task(task, x, None)


def test_finished_fits_with_the_same_id_are_kept_and_changed_ones_are_said(tmp_path, capsys):
    planned = [SimpleNamespace(name=f"mfcc-mlp-fold{fold}", fold=fold, fit_id=f"id{fold}") for fold in range(3)]
    for task, kept in zip(planned, ("id0", "other")):
        runs.write_fit(tmp_path / "fits" / task.name, {"metrics.json": json.dumps({"fit_id": kept})})
    assert [task.fold for task in tasks.pending_tasks(tmp_path, planned)] == [1, 2]
    assert capsys.readouterr().out.startswith("1 finished fit made with other settings, data or code")
    assert [task.fold for task in tasks.pending_tasks(tmp_path, planned, overwrite=True)] == [0, 1, 2]
    assert capsys.readouterr().out == ""
