"""Networks on all clips: chosen by inner validation, calibrated by the folds, described, used by predict.py."""
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from commands import run

import config
from ser.errors import UserError
from ser.files import write_json
from ser.folders import write_folder
from study import final, inference, runs
from study.segments import load_segments
from study.tasks import Task

EPOCHS = {"cnn1d": 14, "mlp": 20}


@pytest.fixture(scope="module")
def given_away(demo, tmp_path_factory):
    """A copy of the demo, with its final MLP and DTW SVM."""
    folder = tmp_path_factory.mktemp("final") / "copy"
    shutil.copytree(demo[0], folder)
    done = run("train.py", "--demo", "--models", "mlp", "dtw", "--final", "--jobs", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "0 to do" in done.stdout and "mfcc-mlp, mfcc-dtw; 0 finished before" in done.stdout
    return folder / "results/demo"


def test_it_is_calibrated_by_its_folds_and_reports_no_accuracy_of_its_own(given_away):
    folder = given_away / "final/mfcc-mlp"
    fits = pd.read_csv(given_away / "fits.csv").query("model == 'mlp'")
    kept = json.loads((folder / "preprocessing.json").read_text())
    assert kept["temperature"] == pytest.approx(np.prod(fits.temperature) ** (1 / len(fits)))
    validation = pd.read_csv(folder / "validation_predictions.csv")
    assert set(validation.fold) == {0, 1} and (validation.model == "mlp").all()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "accuracy" not in metrics and metrics["epochs"] == EPOCHS["mlp"]
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json", "model.keras", "preprocessing.json", "metrics.json", "history.csv",
        "validation_predictions.csv"}


def test_it_was_trained_on_all_clips(given_away):
    """Its scaler is that of every clip and copy, fine coefficients weighing less."""
    kept = json.loads((given_away / "final/mfcc-mlp/preprocessing.json").read_text())
    (functionals,) = given_away.parents[1].glob("cache/features-mfcc-*/functionals.npy")
    x = np.load(functionals, allow_pickle=False)
    x = x.reshape(-1, x.shape[-1])
    assert np.allclose(kept["mean"], x.mean(axis=0), rtol=1e-3, atol=1e-3)
    count = (x.std(axis=0) / kept["std"]).reshape(13, config.N_MFCC)            # of each coefficient, in 13 functionals
    assert np.allclose(count / count[:, :1], np.exp(-np.arange(config.N_MFCC) / config.CEPSTRAL_DECAY), rtol=1e-3)


def test_the_card_tells_data_numbers_and_limits(given_away):
    card = (given_away / "final/MODEL_CARD.md").read_text()
    row = pd.read_csv(given_away / "summary.csv").query("model == 'mlp'").iloc[0]
    assert f"| mfcc-mlp | {100 * row.accuracy_mean:.1f} ± {100 * row.accuracy_std:.1f} % |" in card
    assert json.loads((given_away / "config.json").read_text())["protocol"] in card
    for words in ("tested on none", "synthesised clips, not on speech", "write them down here"):
        assert words in card
    study = runs.read_run(given_away)
    study.config["data"] = "RAVDESS speech"
    for words in ("CC BY-NC-SA 4.0", "acted, North American English"):
        assert words not in card and words in final.card(study, [])


def test_the_card_carries_both_numbers_where_both_were_measured(given_away, tmp_path):
    """Known and new speakers, side by side: of the other kind of run on the same clips, if it has the same recipe."""
    card = (given_away / "final/MODEL_CARD.md").read_text()
    assert "| accuracy, known speakers |" in card and "| accuracy, new speakers |" in card
    assert "not measured" in card and "python train.py --protocol speakers" in card
    for name, speaker_independent, recipe, quick in (
            ("known", False, "tuned", False), ("new", True, "tuned", False), ("other", True, "robust", False),
            ("brief", True, "tuned", True)):
        folder = tmp_path / name
        shutil.copytree(given_away, folder, ignore=shutil.ignore_patterns("fits", "final"))
        kept = json.loads((folder / "config.json").read_text())
        kept["settings"]["RECIPE"] = recipe
        write_json(folder / "config.json", kept | {"protocol": f"the protocol of {name}",
                                                   "speaker_independent": speaker_independent, "quick": quick})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/config.json").write_text("{")
    newest = json.loads((tmp_path / "new/config.json").read_text())
    for name, config_of_run in (("begun", newest), ("cut", newest)):            # no fit is finished; clips.csv is gone
        write_json(tmp_path / name / "config.json", config_of_run)
    for name in ("environment.json", "clips.csv", "folds.csv"):
        shutil.copy(given_away / name, tmp_path / "begun")
    study = runs.read_run(tmp_path / "known")
    other = final.same_study_other_speakers(study)
    assert other.folder.name == "new" and final.same_study_other_speakers(other).folder.name == "known"
    other.summary = other.summary.assign(accuracy_mean=0.4321)
    tasks = [SimpleNamespace(feature="mfcc", model="mlp", hyperparameters={})]
    card = final.card(study, tasks, other)
    assert "43.2 %" in card and "For new speakers: the protocol of new." in card and "not measured" not in card
    other.summary = other.summary.assign(folds=1)                   # of two: unfinished
    assert "43.2 %" not in final.card(study, tasks, other) and "not measured" in final.card(study, tasks, other)


def test_predict_prefers_it(given_away, demo, predicts):
    validation = pd.read_csv(given_away / "fits.csv").query("model in ('mlp', 'dtw')").groupby("model")
    best = validation.validation_accuracy.mean().idxmax()
    assert inference.select_models(given_away) == {given_away / f"final/mfcc-{best}": 1.0}
    clip = next((demo[0] / "cache/demo-corpus").rglob("*.wav"))
    done = predicts([clip, "--run", "demo"], given_away.parents[1])
    assert done.returncode == 0 and f"final/mfcc-{best}" in done.stderr


def test_predict_leaves_one_alone_that_other_fits_came_after(given_away, tmp_path, capsys):
    """Fits with other settings, and the final models not yet made again."""
    run_folder = shutil.copytree(given_away, tmp_path / "demo")
    folder = next(iter(inference.select_models(run_folder)))
    assert folder.parent.name == "final"
    feature, model = folder.name.split("-")
    hashes = json.loads((run_folder / "config.json").read_text())
    for fold in (0, 1):
        fit = run_folder / f"fits/{folder.name}-fold{fold}"
        files = {path.name: path.read_bytes() for path in fit.iterdir() if path.name != "manifest.json"}
        metrics = json.dumps(json.loads(files["metrics.json"]) | {"fit_id": f"new{fold}"})
        write_folder(fit, files | {"metrics.json": metrics})
        hashes["fit_ids"][f"{folder.name}-fold{fold}"] = f"new{fold}"
    write_json(run_folder / "config.json", hashes)
    assert next(iter(inference.select_models(run_folder))) != folder
    assert f"{folder}: made before the present fits" in capsys.readouterr().err


def test_an_svm_on_all_clips_knows_them(given_away, demo):
    folder = given_away / "final/mfcc-dtw"
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json", "svm.npz", "preprocessing.json", "metrics.json", "validation_predictions.csv"}
    clips = pd.read_csv(given_away / "clips.csv").sample(20, random_state=0)
    paths = {path.name: path for path in (demo[0] / "cache/demo-corpus").rglob("*.wav")}
    model = inference.load_model(folder)
    segments = [load_segments(paths[file], inference.input_specs([model]))[0] for file in clips.file]
    answers = inference.predict_segments(segments, [model], model.metadata["labels"], inference.Calibration(1.0, 0.5))
    assert (answers.label.to_numpy() == clips.emotion.to_numpy()).mean() > 0.9


def test_the_final_model_answers_where_those_of_the_folds_are_gone(given_away, tmp_path):
    run_folder = shutil.copytree(given_away, tmp_path / "demo")
    chosen = next(iter(inference.select_models(run_folder)))
    for path in (*run_folder.glob("fits/*/model.keras"), *run_folder.glob("fits/*/svm.npz")):
        path.unlink()
    assert next(iter(inference.select_models(run_folder))) == chosen
    shutil.rmtree(run_folder / "final")
    with pytest.raises(UserError, match="no trained model there"):
        inference.select_models(run_folder)


def test_a_rerun_trains_nothing(given_away):
    before = (given_away / "final/mfcc-mlp/model.keras").stat().st_mtime_ns
    done = run("train.py", "--demo", "--models", "mlp", "--final", cwd=given_away.parents[1])
    assert done.returncode == 0 and "mfcc-mlp; 1 finished before" in done.stdout    # one of the two was asked for
    assert (given_away / "final/mfcc-mlp/model.keras").stat().st_mtime_ns == before


# -- the plan --------------------------------------------------------------------------------------
def study(n_folds=2):
    """Tasks of two features and two networks and an SVM, and their finished fits."""
    clips, members = pd.DataFrame(dict(label=range(7))), [{}, {}]
    tasks_of_folds = [Task(
        feature, model, fold, f"{feature}{model}{fold}", "study.x:Y",
        dict(epochs=EPOCHS[model], checkpoint="best") if model in EPOCHS else {"C": 1.0}, seed=0, weights=None,
        on_functionals=False, classes=(), clips=clips, member_splits=members, protocol="protocol", preprocessing={},
        speaker_means=None, driver=0) for feature in ("mfcc", "mel") for model in (*EPOCHS, "svm")
        for fold in range(n_folds)]
    better = {("mel", "cnn1d"): 0.9, ("mfcc", "mlp"): 0.8}
    fits = pd.DataFrame([dict(feature=task.feature, model=task.model, fold=task.fold, best_epoch=3 + task.fold,
                              validation_accuracy=better.get((task.feature, task.model), 0.5))
                         for task in tasks_of_folds])
    return tasks_of_folds, fits


def test_validation_chooses_the_feature_and_the_epochs():
    planned = final.make_final_tasks(*study(n_folds=3), 3, seed=1)
    assert [(task.feature, task.model) for task in planned] == [
        ("mel", "cnn1d"), ("mfcc", "mlp"), ("mel", "svm")]
    for task in planned:
        if task.model != "svm":
            assert task.hyperparameters == dict(epochs=4, checkpoint="last")            # median of 3 4 5
        n_members = 1 if task.model == "svm" else 2                     # nothing in an SVM is random
        assert [{part: list(clips) for part, clips in split.items()} for split in task.member_splits] == n_members * [{
            "train": list(range(7)), "validation": [], "test": []}]
    assert len({task.seed for task in planned}) == 3
    assert study()[0][0].hyperparameters == dict(epochs=EPOCHS["cnn1d"], checkpoint="best")


def test_unfinished_models_are_left_out_and_nothing_finished_is_said():
    tasks_of_folds, fits = study()
    half = fits.drop(fits[(fits.feature == "mel") & (fits.fold == 1)].index)
    assert [(task.feature, task.model) for task in final.make_final_tasks(tasks_of_folds, half, 2, seed=1)] == [
        ("mfcc", "cnn1d"), ("mfcc", "mlp"), ("mfcc", "svm")]
    for too_few in (fits[fits.fold == 0], pd.DataFrame()):
        with pytest.raises(UserError, match="needs all folds"):
            final.make_final_tasks(tasks_of_folds, too_few, 2, seed=1)
