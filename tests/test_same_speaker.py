"""Predictions adapted to one speaker: by models of `train.py --adapt speaker`, or a word on why not."""
import numpy as np
import pandas as pd
import pytest
from commands import run

import config
from benchmarks import adaptation as benchmark
from ser import adaptation, metrics
from ser.errors import UserError
from study import inference, runs, segments

pytestmark = pytest.mark.usefixtures("one_thread")
P = [f"p_{name}" for name in config.CLASSES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where SVMs of the demo corpus were trained, plain and adapted."""
    folder = tmp_path_factory.mktemp("adapted")
    for more in ([], ["--adapt", "speaker"]):
        done = run("train.py", "--demo", "--models", "svm", "linear", *more, cwd=folder)
        assert done.returncode == 0, done.stderr
    assert "adapted to each speaker by the speaker's own unlabelled clips" in " ".join(done.stdout.split())
    return folder


def speakers_clips(folder):
    return sorted((folder / "cache/demo-corpus/Actor_01").glob("*.wav"))


def answers_of(folder, predicts, clips, *arguments):
    """What predict.py prints, and its probabilities (clips, 8) of clips in the order of their names."""
    done = predicts([*clips, "--csv", "out.csv", *arguments], folder)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(folder / "out.csv").sort_values("file")
    return done.stderr, table[P].to_numpy()


def own_inputs(folder, fit, clips):
    """Functionals of clips, as the model of a fit takes them: (clips, 520)."""
    model = inference.load_model(folder / fit)
    found = [segments.load_segments(path, inference.input_specs([model]))[0]["windows"][0] for path in clips]
    return model, np.array([window.inputs[model.input_key][0] for window in found])


@pytest.mark.parametrize("model_name", ["svm", "linear"])
def test_the_folder_of_a_speaker_is_centred_by_its_clips_and_what_is_known_of_others(folder, predicts, model_name):
    """By another route: the functionals, centred by hand, given to the estimator."""
    fit = f"results/demo-adapted/fits/mfcc-{model_name}-fold0"
    clips = speakers_clips(folder)
    printed, p = answers_of(folder, predicts, clips, "--model", fit, "--same-speaker")
    assert f"adapted to the speaker of {len(clips)} recordings" in printed
    model, x = own_inputs(folder, fit, clips)
    share = len(clips) / (len(clips) + adaptation.PRIOR_CLIPS)
    offset = share * x.mean(axis=0) + (1 - share) * np.array(model.metadata["speaker_mean"])
    expected = model.estimator.predict_proba(
        np.float32((x - offset - model.metadata["mean"]) / model.metadata["std"]), None)
    np.testing.assert_allclose(p, metrics.apply_temperature(expected, model.metadata["temperature"]), atol=1e-3)


def test_of_a_stranger_the_mean_of_the_training_speakers_is_taken(folder, predicts):
    fit = "results/demo-adapted/fits/mfcc-linear-fold0"
    clips = speakers_clips(folder)[:2]
    printed, p = answers_of(folder, predicts, clips, "--model", fit)
    assert "this model subtracts the training speakers' mean; recordings that are all of one: --same-speaker" in printed
    model, x = own_inputs(folder, fit, clips)
    typical = np.array(model.metadata["speaker_mean"])
    expected = model.estimator.predict_proba(
        np.float32((x - typical - model.metadata["mean"]) / model.metadata["std"]), None)
    np.testing.assert_allclose(p, metrics.apply_temperature(expected, model.metadata["temperature"]), atol=1e-3)


def test_what_is_known_of_other_speakers_is_of_training_speakers(folder):
    """The mean over them of the means of all their clips: from the clips of the run, read anew."""
    fit = "results/demo-adapted/fits/mfcc-linear-fold0"
    paths = sorted((folder / "cache/demo-corpus").glob("Actor_*/*.wav"))
    model, x = own_inputs(folder, fit, paths)
    actors = np.array([path.parent.name for path in paths])
    expected = np.mean([x[actors == actor].mean(axis=0) for actor in np.unique(actors)], axis=0)    # all of training
    np.testing.assert_allclose(model.metadata["speaker_mean"], expected, rtol=1e-3, atol=1e-3)


def test_the_run_that_is_adapted_is_found(folder, predicts):
    done = predicts([folder / "cache/demo-corpus/Actor_01", "--run", "demo", "--same-speaker"], folder)
    assert done.returncode == 0 and "model: results/demo-adapted/" in done.stderr


def test_where_there_is_none_it_says_so_and_answers(folder, predicts):
    (folder / "results/other").symlink_to("demo")
    done = predicts([*speakers_clips(folder)[:2], "--run", "other", "--same-speaker"], folder)
    assert done.returncode == 0 and "not adapted to the speaker: there are no models in other-adapted;" in done.stderr
    assert "-adapted/fits" not in done.stderr


def test_models_on_frames_are_adapted_by_real_frames():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 1, (5, 6, 2)).astype(np.float32)
    lengths = np.array([6, 5, 4, 6, 3])
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    typical = np.array([1.0, 2.0], np.float32)
    metadata = dict.fromkeys(("loading", "params", "feature", "n_frames")) | dict(
        seconds=2.0, input="frames", mean=[0.0, 0.0], std=[1.0, 1.0], speaker_mean=typical.tolist())
    model = inference.Model("a", None, metadata, speaker_mean=typical)
    plain = inference.Model("b", None, metadata | dict(speaker_mean=None))
    own = [dict(file=row, windows=[segments.Window(0, 1, 1, {model.input_key: (x[row], lengths[row])})])
           for row in range(5)]
    adapted, same = inference.adapt_models([model, plain], [*own, dict(problem="not readable")])
    mean = np.concatenate([x[row, :lengths[row]] for row in range(5)]).mean(axis=0)
    np.testing.assert_allclose(adapted.speaker_mean, 5 / 8 * mean + 3 / 8 * typical, rtol=1e-5)
    standardised = adapted.standardise(x, lengths)
    np.testing.assert_allclose(standardised[0], x[0] - adapted.speaker_mean, atol=1e-5)
    assert not standardised[4, 3:].any()
    assert same is plain and inference.adapt_models([model], [])[0] is model


def test_windows_that_overlap_count_once():
    def segment(file, *bounds):
        return dict(file=file, windows=[segments.Window(start, end, 1, {}) for start, end in bounds])

    assert segments.count_clips([segment("a", (0, 1)), segment("b", (0, 4)), segment("c")], 2) == 3
    sliding = [segment("a", (start, start + 3)) for start in np.arange(0, 2.01, 0.1)]         # --window 3 --hop 0.1
    assert segments.count_clips(sliding, 2.5) == pytest.approx(2)
    assert segments.count_clips([segment("a", (0, 2), (1, 3), (8, 10))], 2) == pytest.approx(2.5)


def test_a_model_that_is_no_default_stays_in_the_tables(folder):
    """Also when the command is given again without its name."""
    done = run("train.py", "--demo", "--models", "svm", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {"svm", "linear"} <= set(pd.read_csv(folder / "results/demo/summary.csv").model)


# -- the benchmark ---------------------------------------------------------------------------------
def test_the_benchmark_counts_as_the_command_answers(folder, predicts):
    run_folder = folder / "results/demo-adapted"
    paths = {path.name: path for path in (folder / "cache/demo-corpus").glob("Actor_*/*.wav")}
    table = benchmark.measure(run_folder, [("mfcc", "linear")], paths, 1)
    of = table.groupby("choice")
    assert (of.get_group("0 clips").accuracy == of.get_group("0 clips").without).all()
    assert len(of.get_group("5 clips")) == benchmark.N_DRAWS * len(of.get_group("all clips"))
    study = runs.read_run(run_folder)
    fold, actor = study.folds[study.folds.fold >= 0].sort_values(["fold", "actor"]).iloc[0][["fold", "actor"]]
    tested = study.folds[(study.folds.fold == fold) & (study.folds.actor == actor)].sort_values("file")
    fit = f"results/demo-adapted/fits/mfcc-linear-fold{fold}"
    for more, row in ((["--same-speaker"], "all clips"), ([], "0 clips")):
        _, p = answers_of(folder, predicts, [paths[file] for file in tested.file], "--model", fit, *more)
        right = np.mean(np.array(config.CLASSES)[p.argmax(axis=1)] == tested.emotion.to_numpy())
        assert of.get_group(row).accuracy.iloc[0] == right
    text = benchmark.page(table, study)
    assert "| adapted by | mfcc-linear |" in text and "| angry clips alone |" in text


def test_the_benchmark_wants_adapted_models(folder):
    with pytest.raises(UserError, match="mfcc-svm-fold0 was not trained with --adapt speaker"):
        benchmark.measure(folder / "results/demo", [("mfcc", "svm")], {}, 1)
