"""The real commands, end to end: train, stop, go on, draw. On the synthesised corpus; on RAVDESS where it is."""
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from commands import HANG_SECONDS, ROOT, SHORT, command, copy_project, digits, run
from sklearn.metrics import accuracy_score, f1_score

import config
from ser import corpora, demo_corpus
from ser.errors import UserError
from ser.folders import find_damage
from ser.signals import defer_interrupts
from study import runs


# -- the whole path --------------------------------------------------------------------------------
def test_demo_says_that_it_is_one_and_learns(demo):
    _, done = demo
    assert done.stdout.count("not real numbers") == 2
    assert done.stderr.strip() == ""                                # no start-up noise, no warnings
    for fact in ("120 clips", "chance 12.5%", "12 fits", "fold 0:", "parameters", "recipe tuned"):
        assert fact in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100 and "nan" not in done.stdout
    summary = pd.read_csv(demo[0] / "results/demo/summary.csv")
    assert set(summary.model) == {*config.DEFAULT_MODELS, "ensemble"}
    assert (summary.accuracy_mean > 0.25).all()                     # chance is 0.125; 120 clips, 4 standard errors


def test_demo_run_is_complete_and_adds_up(demo):
    folder = demo[0] / "results/demo"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "environment.json", "clips.csv", "folds.csv", "fits", "summary.csv", "fits.csv",
        "predictions.csv.gz", "validation_predictions.csv.gz", "histories.csv.gz", "examples.npz", "occlusion.npz",
        "tsne.csv", "permutation_importance.csv"}
    predictions, folds = pd.read_csv(folder / "predictions.csv.gz"), pd.read_csv(folder / "folds.csv")
    probabilities = predictions[[f"p_{name}" for name in config.CLASSES]].to_numpy()
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (np.array(config.CLASSES)[probabilities.argmax(axis=1)] == predictions.predicted).mean() > 0.99
    summary = pd.read_csv(folder / "summary.csv").set_index(["feature", "model"])
    for names, rows in predictions.groupby(["feature", "model"]):
        assert sorted(rows.file) == sorted(folds.file)                              # every clip tested once
        merged = rows.merge(folds, on="file")
        assert (merged.fold_x == merged.fold_y).all() and (merged.true == merged.emotion).all()
        by_fold = rows.groupby("fold")
        accuracy = [accuracy_score(fold.true, fold.predicted) for _, fold in by_fold]
        weighted = [f1_score(fold.true, fold.predicted, average="weighted") for _, fold in by_fold]
        assert summary.accuracy_mean[names] == pytest.approx(np.mean(accuracy), abs=1e-6)
        assert summary.accuracy_std[names] == pytest.approx(np.std(accuracy, ddof=1), abs=1e-6)
        assert summary.weighted_f1_mean[names] == pytest.approx(np.mean(weighted), abs=1e-6)
    for fold in folds.fold.unique():
        assert ((folds[f"split_{fold}"] == "test") == (folds.fold == fold)).all()
    for names, rows in pd.read_csv(folder / "validation_predictions.csv.gz").groupby(["feature", "model", "fold"]):
        if names[1] != "ensemble":
            held_out = folds.file[folds[f"split_{names[2]}"].str.startswith("validation")]
            assert sorted(rows.file) == sorted(held_out)
    written = [path for path in folder.rglob("*") if path.name.startswith(".")]
    assert not written, "temporary files are left behind"


def test_a_saved_model_predicts_the_same_from_its_folder_alone(demo, one_thread):
    """By hand: what preprocessing.json says, and a network that Keras loads."""
    import keras

    import features
    from ser.audio import load_waveform
    from study import networks
    for model in ("cnn1d", "mlp"):
        folder = demo[0] / f"results/demo/fits/mfcc-{model}-fold0"
        metadata = json.loads((folder / "preprocessing.json").read_text())
        network = keras.models.load_model(folder / "model.keras", safe_mode=True)
        expected = pd.read_csv(folder / "predictions.csv").iloc[0]
        y = load_waveform(next((demo[0] / "cache/demo-corpus").rglob(expected.file)), **metadata["loading"])
        x = features.extract(y, [metadata["feature"]], **metadata["params"])[metadata["feature"]]
        x, length = features.pad_or_crop(x, metadata["n_frames"])
        x, lengths = x[None], np.array([length])
        mean, std = (np.array(metadata[name], np.float32) for name in ("mean", "std"))
        x = features.standardise(features.functionals(x, lengths), mean, std) if metadata["input"] == "functionals" \
            else features.standardise(x, mean, std, lengths)
        p = networks.predict_proba(network, x)[0]
        assert np.allclose(p, expected[[f"p_{name}" for name in metadata["labels"]]].astype(float), atol=1e-5)


def test_order_subset_and_parallelism_change_no_digit(demo, with_cache):
    done = run("train.py", "--demo", "--models", "mlp", "cnn1d", "--folds", 1, "--jobs", 1, cwd=with_cache)
    assert done.returncode == 0, done.stderr
    whole, part = digits(demo[0]), digits(with_cache)
    assert set(part) == {"mfcc-mlp-fold1", "mfcc-cnn1d-fold1"}
    assert all(part[name] == whole[name] for name in part)


def test_rerun_does_nothing_and_overwrite_does_all(demo, tmp_path):
    folder = shutil.copytree(demo[0], tmp_path / "copy")

    def times():
        return {path: path.stat().st_mtime_ns for path in folder.glob("results/demo/fits/*/metrics.json")}

    before = times()
    again = run("train.py", "--demo", "--models", "mlp", "svm", cwd=folder)
    assert again.returncode == 0 and "4 finished before, 0 to do" in again.stdout and times() == before
    anew = run("train.py", "--demo", "--models", "svm", "--overwrite", cwd=folder)
    assert anew.returncode == 0 and "0 finished before, 2 to do" in anew.stdout and digits(folder) == digits(demo[0])
    after = times()
    assert {path for path in after if after[path] != before[path]} == {path for path in after if "-svm-" in str(path)}


def test_a_feature_of_functionals_alone_goes_the_whole_way(tmp_path, predicts):
    """Trained beside another, explained, drawn, and asked for an answer; models on frames leave it out."""
    few = ["--demo", "--folds", "0", "--features", "mfcc", "all", "--set", "N_AUGMENTED=1", "--set",
           "MODELS.mlp.epochs=5"]
    done = run("train.py", *few, "--models", "mlp", "svm", cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    folder = tmp_path / "results/demo"
    fits = pd.read_csv(folder / "fits.csv")
    assert sorted(zip(fits.feature, fits.model)) == [
        ("all", "ensemble"), ("all", "mlp"), ("all", "svm"), ("mfcc", "mlp"), ("mfcc", "svm")]
    networks = fits[fits.model == "mlp"].set_index("feature").validation_accuracy
    assert pd.read_csv(folder / "permutation_importance.csv").feature[0] == networks.idxmax()
    drawn = run("viz.py", "--run", "demo", cwd=tmp_path)
    assert drawn.returncode == 0 and not drawn.stderr and (tmp_path / "visualizations/confusion_all_mlp.png").exists()
    assert "unfinished" not in drawn.stdout                             # no other model or fold was asked for
    table = pd.read_csv(folder / "fits/all-mlp-fold0/predictions.csv")
    clip = next(tmp_path.rglob(table.file[0]))
    predicts([clip, "--model", folder / "fits/all-mlp-fold0", "--csv", "out.csv"], tmp_path)
    answer = pd.read_csv(tmp_path / "out.csv")
    assert answer.label[0] == table.predicted[0]
    nothing = run("train.py", "--demo", "--features", "all", "--models", "cnn1d", cwd=tmp_path)
    assert nothing.returncode == 2 and nothing.stderr.startswith("train.py: error: none of these models takes any")
    assert len(nothing.stderr.splitlines()) == 1


def test_viz_draws_the_demo(pictures):
    drawn = {path.name for path in pictures.iterdir()}
    for name in {name for name in drawn if name.endswith(".svg")}:
        drawn.remove(name)
        assert name.replace(".svg", ".png") in drawn and "<svg" in (pictures / name).read_text()
    assert drawn == {"data_statistics.png", "example_features.png", "comparison.png", "per_emotion.png",
                     "per_actor.png", "subgroups.png", "reliability.png", "report.html", "confusion.png",
                     "confusion_all_ensemble.png", "occlusion.png", "permutation_importance.png", "tsne.png",
                     *(f"curves_{model}.png" for model, row in config.MODELS.items() if row.is_network),
                     *(f"confusion_mfcc_{model}.png" for model in config.DEFAULT_MODELS)}
    assert all(path.stat().st_size > 10_000 for path in pictures.iterdir())


# -- stopping and going on -------------------------------------------------------------------------
def start(cwd):
    words, how = command("train.py", *SHORT, "--jobs", 1, cwd=cwd)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)


def stop(cwd, sign, when):
    """Start the short run, send `sign` as soon as `when(cwd)` holds."""
    process = start(cwd)
    while process.poll() is None and not when(cwd):
        time.sleep(0.02)
    process.send_signal(sign)
    out, err = process.communicate(timeout=HANG_SECONDS)
    return process.returncode, out, err


STOPS = {
    "during extraction": lambda cwd: any(cwd.glob("cache/.draft-*-features-*")),
    "before the first fit": lambda cwd: any(cwd.glob("results/demo/folds.csv")),
    "after the first fit": lambda cwd: any(cwd.glob("results/demo/fits/mfcc-mlp-fold0")),
}


KILL_WHILE_WRITING = """
import os, signal, sys
import train
kept = os.replace
os.replace = lambda old, new: os.kill(os.getpid(), signal.SIGKILL) if "-svm-fold" in str(new) else kept(old, new)
train.main(train.parse(sys.argv[1:]))
"""


def test_killed_anywhere_the_digits_are_those_of_an_uninterrupted_run(demo, tmp_path):
    """One run, killed four times: by what is on disk, and when a fit is written but not yet in its place."""
    for when in ("during extraction", "before the first fit"):
        code, _, _ = stop(tmp_path, signal.SIGKILL, STOPS[when])
        assert code == -signal.SIGKILL, when
    _, how = command("train.py", cwd=tmp_path)
    how["env"] = how["env"] | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILL_WHILE_WRITING, "--demo", "--models", "svm", "--jobs", "1"],
                            capture_output=True, timeout=HANG_SECONDS, **how)
    assert killed.returncode == -signal.SIGKILL and list(tmp_path.glob("results/demo/fits/.draft-*"))
    assert not list(tmp_path.glob("results/demo/fits/mfcc-*"))
    stop(tmp_path, signal.SIGKILL, STOPS["after the first fit"])    # or after the second, on a slow machine
    done = run("train.py", *SHORT, "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole, part = digits(demo[0]), digits(tmp_path)
    assert set(part) == {"mfcc-mlp-fold0", "mfcc-mlp-fold1"}
    assert all(part[name] == whole[name] for name in part)
    read = runs.read_run(tmp_path / "results/demo")
    assert len(read.fits) == 2 and len(read.predictions) == 120


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_says_how_to_go_on(with_cache, sign):
    code, out, err = stop(with_cache, sign, STOPS["before the first fit"])
    assert code not in (0, -signal.SIGKILL) and "goes on from here" in err and "Traceback" not in err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_import_it_meets(sign):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    finished = False
    try:
        with pytest.raises(KeyboardInterrupt):
            with defer_interrupts():
                signal.raise_signal(sign)
                finished = True
        with pytest.raises(KeyboardInterrupt):                      # the handlers are back
            signal.raise_signal(sign)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert finished


# -- what users get wrong --------------------------------------------------------------------------
@pytest.mark.parametrize("arguments, words", [
    (["--data-dir", "nowhere"], "nowhere: no such folder"),
    (["--models", "transformer"], "invalid choice: 'transformer'"),
    (["--protocol", "holdout"], "invalid choice: 'holdout'"),
    (["--cv", "holdout"], "invalid choice: 'holdout'"),
    (["--set", "N_FFT"], "--set N_FFT: write NAME=VALUE"),
    (["--set", "N_FFT=5"], "--set: N_FFT = 5 is not a whole number within 16 .. 65536"),
    (["--jobs", "0"], "not at least 1"),
    (["--seed", "-1"], "-1 is not within 0 .. 4294967295"),
    (["--set", "MODELS.mlp.builder=model:nothing"], "MODELS: mlp: model:nothing: no such definition in the project"),
    (["--set", "MODELS.svm.builder=study.svm:distances"], "MODELS: svm: 'study.svm:distances' is not a model"),
    (["--set", "MODELS.dtw.input=functionals"], "MODELS: dtw: study.svm:DTWSVM does not take functionals"),
    (["--set", "MODELS.mlp.builder=mlp"], "mlp.builder = 'mlp' is not of the form"),
    (["--set", "MODELS.mlp.epochs=None"], "mlp.epochs = None, and model:mlp is a network"),
    (["--set", "F_MAX=16000"], "--set: F_MAX = 16000 is above half of SAMPLE_RATE"),
    (["--run", "../elsewhere"], "not a plain folder name"),
    (["--demo", "--data-dir", "mine"], "--demo has clips of its own"),
    (["--demo", "--search", "2", "--features", "all", "--models", "cnn1d"], "none of these models takes any of these"),
    (["--demo", "--final", "--quick"], "--final needs every fold"),
    (["--final", "--folds", "0", "1"], "--final needs every fold"),
])
def test_a_mistake_is_one_clear_line(tmp_path, trains, arguments, words):
    done = trains(arguments, tmp_path)
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())                             # nothing half-written


def test_a_precision_that_is_not_there_is_said_before_anything_is_read(tmp_path, trains, monkeypatch):
    monkeypatch.setattr("study.training.has_bfloat16", lambda: False)
    done = trains(["--demo", "--set", "PRECISION=bfloat16"], tmp_path)
    assert done.returncode == 2 and "does not multiply in it" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments, words", [
    (["--folds", "5"], "not all within 0..1"),
    (["--cv", "luna"], "the luna_jimenez folds name all 24 actors of RAVDESS"),
])
def test_what_the_clips_rule_out_is_one_clear_line(tmp_path, arguments, words):
    """By the real command, before features are extracted; the survey of the clips is all that is on disk."""
    done = run("train.py", "--demo", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1] and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("results")) and not list(tmp_path.glob("cache/features*"))


def test_unseen_speakers_are_unseen_by_training_and_its_choices(with_cache):
    """`--cv loso` end to end on the demo corpus: one actor out, whole actors validate."""
    done = run("train.py", "--demo", "--protocol", "loso", "--models", "svm", "--folds", 0, cwd=with_cache)
    assert done.returncode == 0, done.stderr
    assert "leave one speaker out, speaker-independent" in done.stdout
    folds = pd.read_csv(with_cache / "results/demo-loso/folds.csv")
    assert folds.groupby("actor").split_0.nunique().eq(1).all()
    assert set(folds.split_0) == {"train", "validation 1", "validation 2", "test"}       # three voices, two networks
    assert (folds.fold.nunique(), folds[folds.split_0 == "test"].actor.nunique()) == (folds.actor.nunique(), 1)
    assert "protocol" in pd.read_csv(with_cache / "results/demo-loso/summary.csv")


def test_viz_of_a_missing_run_is_one_clear_line(tmp_path):
    done = run("viz.py", "--run", "nowhere", cwd=tmp_path)
    assert done.returncode == 2 and "nowhere" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["train.py", "viz.py", "predict.py", "app.py", "data_preprocessing.py"])
def test_help_loads_no_tensorflow(tmp_path, script):
    done = subprocess.run([sys.executable, "-X", "importtime", str(ROOT / script), "--help"],
                          capture_output=True, text=True, cwd=tmp_path, timeout=HANG_SECONDS)
    assert done.returncode == 0 and "usage: " in done.stdout
    assert not any(name in done.stderr for name in ("tensorflow", "keras", "pandas"))


def test_damaged_files_of_a_run_are_named_and_made_anew(demo, tmp_path):
    """The cut table of a fit, and an array of the cache: the same digits again, and nothing else is redone."""
    folder = shutil.copytree(demo[0], tmp_path / "copy")
    fit, (cache,) = folder / "results/demo/fits/mfcc-mlp-fold0", folder.glob("cache/features-mfcc-*")
    whole = digits(folder)
    for path in (fit / "predictions.csv", cache / "lengths.npy"):
        content = path.read_bytes()
        path.write_bytes(content[:-50])
    done = run("train.py", *SHORT, cwd=folder)
    assert done.returncode == 0 and f"{path.parent.name}: damaged (lengths.npy has" in done.stderr
    assert "mfcc-mlp-fold0: damaged (predictions.csv has" in done.stdout and "1 finished before, 1 to do" in done.stdout
    assert digits(folder) == whole and find_damage(fit) is None and find_damage(cache) is None


def test_a_setting_that_cannot_work_is_one_line_before_anything_is_written(tmp_path):
    """As a user meets it: an edited config.py, the real command."""
    copy_project(tmp_path)
    text = (tmp_path / "config.py").read_text()
    (tmp_path / "config.py").write_text(text.replace('= ("mfcc", "mel", "gauss", "all")', '= "mfcc"'))
    before = {path.name for path in tmp_path.iterdir()}
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("train.py: error: config.py: DEFAULT_FEATURES = 'mfcc' is not a list of names")
    assert len(done.stderr.splitlines()) == 1 and {path.name for path in tmp_path.iterdir()} <= before | {"__pycache__"}


def resolved(*arguments):
    """The settings of a command line."""
    import train
    return train.resolve_settings(train.parse(list(arguments)))


def test_quick_and_demo_runs_have_folders_of_their_own():
    import train
    corpus = corpora.Corpus(corpora.RAVDESS, None, (), {})
    names = [train.run_name(args, train.resolve_settings(args), corpus, "stratified") for args in map(train.parse, (
        [], ["--quick"], ["--demo"], ["--quick", "--demo"], ["--demo", "--seed", "7"]))]
    assert names == ["default", "quick", "demo", "quick-demo", "demo-seed7"]


def test_a_final_model_has_no_validation_clips_to_lower_the_rate_by():
    assert resolved("--set", "LR_SCHEDULE=plateau").LR_SCHEDULE == "plateau"
    with pytest.raises(UserError, match="--final: LR_SCHEDULE"):
        resolved("--final", "--set", "LR_SCHEDULE=plateau")


def test_flags_are_applied_before_the_settings_are_checked():
    """--demo and --quick change every network of the table, --set what they have left."""
    epochs = {name: row.epochs for name, row in resolved("--demo", "--quick").MODELS.items() if row.is_network}
    assert epochs == dict.fromkeys(("cnn1d", "bilstm", "hybrid", "mlp"), 2)
    settings = resolved("--demo", "--seed", "7", "--set", "MODELS.mlp.epochs=5", "--set", "EMA_DECAY=0")
    assert (settings.MODELS["mlp"].epochs, settings.MODELS["bilstm"].epochs, settings.EMA_DECAY) == (5, 6, 0)
    assert (settings.SEED, settings.N_FOLDS, settings.MODELS["svm"].epochs) == (7, 2, None)
    assert settings.overridden == {"MODELS.mlp.epochs": 5, "EMA_DECAY": 0}


def test_a_recipe_is_chosen_by_setting_or_flag_and_changed_by_set():
    described = resolved("--recipe", "described")
    assert (described.RECIPE, described.ENSEMBLE_SIZE, described.CHECKPOINT, described.LR_SCHEDULE) == (
        "described", 1, "best", "plateau")
    assert (described.EARLY_STOPPING_PATIENCE, described.PLATEAU_FACTOR, described.N_AUGMENTED) == (30, 0.5, 4)
    assert (described.MIXUP_ALPHA > 0, described.LABEL_SMOOTHING) == (True, 0.1)
    assert {row.epochs for row in described.MODELS.values() if row.is_network} == {100}
    assert described.DEFAULT_MODELS == ("cnn1d", "bilstm", "hybrid", "mlp")
    same = {name: value for name, value in resolved("--set", "RECIPE=described").values().items()}
    assert same == described.values()
    assert resolved("--set", "RECIPE = robust").values() == resolved("--recipe", "robust").values()
    again = resolved("--recipe", "described", "--set", "ENSEMBLE_SIZE=2", "--set", "MODELS.mlp.epochs=5")
    assert (again.ENSEMBLE_SIZE, again.MODELS["mlp"].epochs, again.MODELS["cnn1d"].epochs) == (2, 5, 100)
    demo = resolved("--demo", "--recipe", "described")
    assert (demo.ENSEMBLE_SIZE, demo.MODELS["mlp"].epochs, demo.N_FOLDS) == (1, 20, 2)      # a demo is short
    assert {(row.optimizer, row.learning_rate) for row in demo.MODELS.values() if row.is_network} == {("adamw", 4e-3)}
    with pytest.raises(UserError, match="--recipe described and --set RECIPE=robust: one of the two"):
        resolved("--recipe", "described", "--set", "RECIPE=robust")
    assert resolved().ENSEMBLE_SIZE == 3 and resolved().LR_SCHEDULE == "cosine"
    for wrong, words in (("RECIPE=best", "RECIPE = 'best' is not one of tuned, described"),
                         ("RECIPES.described.epochs=5", "set what the recipe changes")):
        with pytest.raises(UserError, match=words):
            resolved("--set", wrong)


def test_a_network_that_cannot_be_trained_is_named_after_the_flags_too():
    with pytest.raises(UserError, match="MODELS is not usable: mlp.epochs = 0 is not a whole number within 1"):
        resolved("--demo", "--quick", "--set", "MODELS.mlp.epochs=0")


# -- data of one's own -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Folder with the demo's clips of three emotions under other names: two voices to train on and one to test on."""
    folder = tmp_path_factory.mktemp("own")
    demo_corpus.write_corpus(folder / "demo", actors=3, intensities=(1,))
    rows = [f"{clip.path},{'joy' if clip.emotion == 'happy' else clip.emotion},voice {clip.actor},"
            f"{'test' if clip.actor == 3 else 'train'}"
            for clip in corpora.find_corpus(folder / "demo").clips.itertuples()
            if clip.emotion in ("happy", "sad", "angry")]
    (folder / "mine.csv").write_text("\n".join(["path,emotion,speaker,split", *rows]))
    return folder


def test_a_manifest_is_trained_drawn_and_predicted_with_its_own_classes(own):
    done = run("train.py", "--data-dir", "mine.csv", "--models", "mlp", "--features", "mfcc", "--quick", "--set",
               "N_AUGMENTED=1", cwd=own)
    assert done.returncode == 0, done.stderr
    config_of_run = json.loads((own / "results/quick-mine-predefined/config.json").read_text())
    assert config_of_run["overrides"] == {"N_AUGMENTED": 1} and config_of_run["settings"]["N_AUGMENTED"] == 1
    assert "mine: 18 clips, 3 actors" in done.stdout and "sad 6, angry 6, joy 6" in done.stdout
    assert "the data's own split" in done.stdout and "chance 33.3%" in done.stdout
    predictions = pd.read_csv(own / "results/quick-mine-predefined/predictions.csv.gz")
    assert set(predictions.actor) == {"voice 3"} and len(predictions) == 6
    assert [name for name in predictions if name.startswith("p_")] == ["p_sad", "p_angry", "p_joy"]
    drawn = run("viz.py", "--run", "quick-mine-predefined", cwd=own)
    assert drawn.returncode == 0, drawn.stderr
    assert (own / "visualizations/per_actor.svg").exists() and "synthesised" not in drawn.stdout
    heard = run("predict.py", "demo/Actor_01", "--run", "quick-mine-predefined", "--csv", "out.csv", cwd=own)
    assert heard.returncode == 0, heard.stderr
    assert {"p_sad", "p_angry", "p_joy"} <= set(pd.read_csv(own / "out.csv"))


def test_one_corpus_is_tested_with_another(own):
    demo_corpus.write_corpus(own / "others", actors=2, intensities=(1,), seed=1)
    done = run("train.py", "--train-on", "mine.csv", "--test-on", "others", "--models", "svm", "--features", "mfcc",
               "--run", "both", cwd=own)
    assert done.returncode == 0, done.stderr
    config = json.loads((own / "results/both/config.json").read_text())
    assert config["data"] == "mine to RAVDESS speech" and config["classes"] == ["sad", "angry"]
    folds = pd.read_csv(own / "results/both/folds.csv")
    tested = folds.file.str.startswith("2-ravdess-speech/")
    assert (tested == (folds.split_0 == "test")).all() and tested.sum() == 8
    assert folds.split_0.value_counts().to_dict() == {                                            # three voices
        "test": 8, "validation 1": 4, "validation 2": 4, "validation 3": 4}


@pytest.mark.parametrize("words, name, columns, expected", [
    ([], corpora.RAVDESS, {}, "stratified"),
    ([], "mine", {}, "speakers"),                                       # tested on new speakers, where there are two
    ([], "mine", {"actor": "one"}, "stratified"),
    ([], "mine", {"split": "train"}, "predefined"),
    (["--protocol", "stratified"], "mine", {}, "stratified"),           # the same speakers: asked for by name
    (["--set", "PROTOCOL=stratified"], "mine", {"split": "train"}, "stratified"),
    (["--protocol", "loso"], corpora.RAVDESS, {}, "loso"),
    (["--demo"], "demo", {}, "stratified"),
])
def test_the_protocol_is_that_which_suits_the_data(words, name, columns, expected):
    import train
    args = train.parse(words)
    clips = pd.DataFrame(dict(actor=["one", "two"]) | {column: [value] * 2 for column, value in columns.items()})
    corpus = corpora.Corpus(name, clips, ("sad", "happy"), {})
    assert train.choose_protocol(args, train.resolve_settings(args), corpus, clips) == expected


@pytest.mark.parametrize("words, says", [
    (["--train-on", "mine.csv"], "go together"),
    (["--train-on", "mine.csv", "--test-on", "nowhere"], "nowhere: no such folder"),
    (["--data-dir", "mine.csv", "--cv", "luna"],
     "do not suit --protocol luna_jimenez: the luna_jimenez folds name all 24 actors"),
    (["--data-dir", "mine.csv", "--protocol", "sentence"], "do not suit --protocol sentence: it needs a statement"),
    (["--train-on", "mine.csv", "--test-on", "demo"], "fold 0 has no two emotions to train on"),
    (["--data-dir", "other.csv"], "other.csv: no such file"),
])
def test_data_that_cannot_be_used_is_one_line(own, trains, words, says):
    written = lambda: {*own.glob("results/*"), *own.glob("cache/features*")}                        # noqa: E731
    before = written()
    done = trains(words, own)
    assert done.returncode == 2 and says in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("train.py: error: ") and written() == before
    assert len(done.stderr.splitlines()) == 1 or done.stderr.startswith("usage: ")      # argparse's own


# -- real data -------------------------------------------------------------------------------------
def test_an_mlp_fold_on_ravdess_is_well_above_chance(ravdess, tmp_path):
    done = run("train.py", "--quick", "--models", "mlp", "--features", "mfcc", "--data-dir", ravdess, "--set",
               "N_AUGMENTED=0", "--set", "MODELS.mlp.epochs=10", "--set", "DEFAULT_FEATURES=('mfcc',)", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1440 clips" in done.stdout and "warning" not in done.stdout
    summary = pd.read_csv(tmp_path / "results/quick/summary.csv")
    assert summary.accuracy_mean[0] > 0.4                           # ten epochs without copies; chance is 0.125
