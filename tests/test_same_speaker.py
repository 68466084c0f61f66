"""Predictions adapted to one speaker: by models of `train.py --adapt speaker`, or a word on why not."""
import numpy as np
import pandas as pd
import pytest
from commands import run

import config
from ser import adaptation, metrics
from study import inference, segments

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


def test_the_folder_of_a_speaker_is_answered_as_in_training(folder, predicts):
    """All clips of an actor, from their files: the model's test clips among them get what training wrote."""
    fit = folder / "results/demo-adapted/fits/mfcc-svm-fold0"
    actor = folder / "cache/demo-corpus/Actor_01"
    done = predicts([actor, "--model", fit, "--same-speaker", "--csv", "out.csv"], folder)
    assert done.returncode == 0, done.stderr
    clips = speakers_clips(folder)
    assert f"adapted to the speaker of {len(clips)} recordings" in done.stdout
    answers = pd.read_csv(folder / "out.csv")
    answers["file"] = answers.file.str.rsplit("/", n=1).str[-1]
    expected = pd.read_csv(fit / "predictions.csv")
    both = expected.merge(answers, on="file", suffixes=("_then", "_now"))
    assert len(both) > 5
    temperature = inference.load_model(fit).metadata["temperature"]
    then = metrics.apply_temperature(both[[f"{name}_then" for name in P]].to_numpy(), temperature)
    assert np.abs(then - both[[f"{name}_now" for name in P]].to_numpy()).max() < 1e-3


def test_the_run_that_is_adapted_is_found(folder, predicts):
    done = predicts([folder / "cache/demo-corpus/Actor_01", "--run", "demo", "--same-speaker"], folder)
    assert done.returncode == 0 and "model: results/demo-adapted/" in done.stdout


@pytest.mark.parametrize("n_clips, run_name, words", [
    (4, "demo", "not adapted to the speaker: 4 recordings, and at least 5 are needed"),
    (6, "other", "not adapted to the speaker: there is no results/other-adapted"),
])
def test_where_it_cannot_be_used_it_says_so_and_answers(folder, predicts, n_clips, run_name, words):
    if not (folder / "results/other").exists():
        (folder / "results/other").symlink_to("demo")
    done = predicts([*speakers_clips(folder)[:n_clips], "--run", run_name, "--same-speaker"], folder)
    assert done.returncode == 0 and words in done.stdout and "-adapted/fits" not in done.stdout


def test_a_model_that_compares_recordings_is_not_used_on_strangers_without_a_word(folder, predicts):
    fit = folder / "results/demo-adapted/fits/mfcc-svm-fold0"
    done = predicts([speakers_clips(folder)[0], "--model", fit], folder)
    assert done.returncode == 2 and "say that yours are: --same-speaker" in done.stderr
    done = predicts([*speakers_clips(folder)[:3], "--model", fit, "--same-speaker"], folder)
    assert done.returncode == 2 and "at least 5 are needed" in done.stderr


def test_segments_are_centred_by_all_windows():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 1, (5, 6, 2)).astype(np.float32)
    lengths = np.array([6, 5, 4, 6, 3])
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    own = [dict(windows=[segments.Window(0, 1, 1, {"a": (x[row], lengths[row]), "b": (x[row].mean(0), lengths[row])})])
           for row in range(5)]
    segments.centre_segments(own)
    mean = np.concatenate([x[row, :lengths[row]] for row in range(5)]).mean(axis=0)
    for row, segment in enumerate(own):
        centred, length = segment["windows"][0].inputs["a"]
        np.testing.assert_allclose(centred[:length], x[row, :length] - mean, atol=1e-5)
        assert length == lengths[row] and not centred[length:].any()
    functionals = np.array([segment["windows"][0].inputs["b"][0] for segment in own])
    np.testing.assert_allclose(functionals.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(adaptation.mean_of(functionals), 0, atol=1e-6)
