"""Explanations of networks whose secret is known, and what a run's folder gets of them."""
import json
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest

import model
from ser import metrics
from ser.files import write_csv, write_json
from study import explain, inference, networks, runs
from study.explain import compiled

pytestmark = pytest.mark.usefixtures("one_thread")


def network(shape, secret):
    """Two outputs; the logit of the second is the sum of the input times `secret`, that of the first 0."""
    x = keras.Input(shape)
    flat = keras.layers.Flatten()(x) if len(shape) == 2 else x
    made = keras.Model(x, keras.layers.Dense(2, activation="softmax")(flat))
    weights = np.stack([np.zeros(secret.size), secret.ravel()], axis=1)
    made.layers[-1].set_weights([weights, np.zeros(2)])
    return made


def test_occlusion_finds_the_patch_that_decides():
    """The log-odds are the sum over a known patch, so their fall is what of that sum was blanked."""
    secret = np.zeros((24, 16), np.float32)
    secret[8:12, 4:6] = 1
    x = np.ones((24, 16), np.float32)
    fall = explain.occlusion(compiled(network((24, 16), secret)), x, 20, 1, patch=(4, 0.125))   # 4 frames, 2 columns
    assert fall.shape == (20, 16)
    assert fall[9:11, 4:6].min() > 2 and fall.max() <= 8 + 1e-4             # all of its 8 cells, at most
    elsewhere = np.ones_like(fall, bool)
    elsewhere[5:15, 2:8] = False                                            # patches that touch it reach so far
    assert np.abs(fall[elsewhere]).max() < 1e-4
    against = explain.occlusion(compiled(network((24, 16), secret)), x, 20, 0, patch=(4, 0.125))
    assert np.allclose(against, -fall, atol=1e-4)                           # for one is against the other


def test_importance_is_that_of_the_group_in_use():
    """Columns 2 and 3 decide by their sign; without them guessing remains."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 6)).astype(np.float32)
    groups = np.repeat([0, 1, 2], 2)
    secret = np.zeros(6)
    secret[2:4] = 5
    labels = (x[:, 2] + x[:, 3] > 0).astype(int)
    falls = explain.permutation_importance(compiled(network((6,), secret)), x, labels, groups, rng, repeats=4)
    assert falls.shape == (3, 4) and (falls[[0, 2]] == 0).all()
    assert falls[1].mean() == pytest.approx(0.5, abs=0.1)                   # from 100 % to 50 %


@pytest.mark.parametrize("clips", [1, explain.BATCH_SIZE + 3])
def test_penultimate_is_what_the_last_layer_sees(clips):
    x = keras.Input((5,))
    hidden = keras.layers.Dense(3, name="hidden")(keras.layers.Dropout(0.5)(x))
    made = keras.Model(x, keras.layers.Dense(2, activation="softmax")(hidden))
    given = np.random.default_rng(1).standard_normal((clips, 5)).astype(np.float32)
    seen = explain.penultimate(made, given)
    kernel, bias = made.get_layer("hidden").get_weights()
    assert np.allclose(seen, given @ kernel + bias, atol=1e-5)
    assert np.allclose(networks.predict_proba(made, given), compiled(made)(given))


def test_penultimate_of_an_averaged_network_is_that_of_its_members():
    members = [model.mlp((26,), 8) for _ in range(2)]
    given = np.random.default_rng(1).standard_normal((4, 26)).astype(np.float32)
    expected = np.concatenate([explain.penultimate(network, given) for network in members], axis=1)
    units = model.MLP_UNITS[-1]
    assert np.abs(expected[:, :units] - expected[:, units:]).max() > 1e-3
    assert np.allclose(explain.penultimate(model.average_ensemble(members), given), expected, atol=1e-6)


@pytest.mark.parametrize("clips", [explain.TSNE_MIN_CLIPS, 40])
def test_tsne_keeps_neighbours_together(clips):
    """Half of the clips lie far from the others."""
    group = np.arange(clips) % 2
    x = np.random.default_rng(0).normal(0, 0.1, (clips, 5)) + 50 * group[:, None]
    points = explain.tsne(x.astype(np.float32))
    assert points.shape == (clips, 2)
    if clips > explain.TSNE_MIN_CLIPS:                                      # in a few, any may be neighbours
        distance = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag(np.full(clips, np.inf))
        assert (group[distance.argmin(axis=1)] == group).all()


# -- examples --------------------------------------------------------------------------------------
EMOTIONS = ("happy", "sad")


def test_examples_are_alike_where_they_can_be():
    emotions = ("neutral", "calm", "sad")
    rows = [dict(emotion=emotion, label=k, actor=actor, statement=1, intensity="normal", repetition=1)
            for k, emotion in enumerate(emotions) for actor in (1, 2) if (emotion, actor) != ("sad", 1)]
    chosen = explain.choose_examples(pd.DataFrame(rows))
    assert list(chosen.emotion) == list(emotions) and set(chosen.actor) == {2}


def test_examples_are_the_clips_themselves_without_pickle(tmp_path):
    """Of three variants the first; the index of the table does not matter, nor do columns beside those needed."""
    clips = pd.DataFrame(dict(file=["a.wav", "b.wav", "c.wav"], emotion=["sad", "sad", "happy"], label=[1, 1, 0],
                              actor=[1, 2, 2])).set_index(pd.Index([7, 7, 9]))
    mfcc = np.random.default_rng(0).random((3, 3, 5, 4)).astype(np.float16)
    lengths = np.array([[5, 1, 1], [3, 2, 2], [4, 1, 1]])
    explain.write_examples(tmp_path, clips, {"mfcc": mfcc, "mel": mfcc + 1}, dict(mfcc=lengths, mel=lengths - 1),
                           dict(sr=1024, hop_length=512))
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as stored:
        assert list(stored["emotions"]) == list(EMOTIONS) and list(stored["files"]) == ["c.wav", "b.wav"]
        assert stored["lengths"].tolist() == [[4, 3], [3, 2]] and list(stored["hop_seconds"]) == [0.5, 0.5]
        assert list(stored["axes"]) == ["coefficient", "band"]
        assert stored["mfcc"].dtype == np.float32 and np.array_equal(stored["mfcc"], mfcc[[2, 1], 0])
        assert np.array_equal(stored["mel"], (mfcc + 1)[[2, 1], 0])
    assert [path.name for path in tmp_path.iterdir()] == ["examples.npz"]


def test_the_best_classified_clip_of_every_emotion():
    """Of `sad` the correct one of two, though another has a higher probability; of `calm`, never right, the nearest."""
    rows = [("happy", 0.5, 0.3, 0.2), ("happy", 0.9, 0.1, 0.0), ("sad", 0.50, 0.45, 0.05), ("sad", 0.3, 0.4, 0.3),
            ("calm", 0.8, 0.1, 0.1), ("calm", 0.5, 0.2, 0.3)]
    table = pd.DataFrame(rows, columns=["true", "p_happy", "p_sad", "p_calm"])
    table["predicted"] = ["happy", "happy", "happy", "sad", "happy", "happy"]
    best = explain.best_classified(table, ["happy", "sad", "calm"])
    assert list(best.index) == [1, 3, 5] and list(best.true) == ["happy", "sad", "calm"]
    assert list(best.predicted) == ["happy", "sad", "happy"]


# -- explanations of a run -------------------------------------------------------------------------
N_CLIPS, N_FRAMES, N = 12, 6, 4
N_FUNCTIONALS = 13
MODELS = {"cnn1d": "frames", "bilstm": "frames", "mlp": "functionals", "svm": "functionals", "dtw": "frames"}


@pytest.fixture
def corpus():
    """Arrays of 12 clips and 2 variants; `sad` where the first column of a clip is positive, also after functionals."""
    rng = np.random.default_rng(3)
    sequences = rng.normal(0, 1, (N_CLIPS, 2, N_FRAMES, N)).astype(np.float32)
    functionals = rng.normal(0, 1, (N_CLIPS, 2, N_FUNCTIONALS * 2)).astype(np.float32)
    sad = np.arange(N_CLIPS) % 2
    sequences[:, 0, :, 0], functionals[:, 0, 4] = 2.0 * sad[:, None] - 1, 2.0 * sad - 1     # 4: of the functional `min`
    return SimpleNamespace(sequences={"mfcc": sequences, "mel": sequences + 10},
                           lengths=dict.fromkeys(("mfcc", "mel"), np.full((N_CLIPS, 2), 5)),
                           functionals={"mfcc": functionals, "mel": functionals}, labels=sad,
                           files=np.array([f"{k}.wav" for k in range(N_CLIPS)]))


@pytest.fixture
def finished(tmp_path, corpus, monkeypatch):
    """finished({(feature, model, fold): validation accuracy}): a run's folder with these fits, tested on some clips.

    Networks decide by column 0 of sequences, or column 4 of functionals; `finished.loaded` lists what was loaded.
    """
    def secret(kind):
        weights = np.zeros((N_FRAMES, N) if kind == "frames" else N_FUNCTIONALS * 2, np.float32)
        weights[(slice(None), 0) if kind == "frames" else 4] = 1
        return weights

    loaded = []

    def load_model(folder, lite):
        feature, name, _ = folder.name.split("-")
        loaded.append(folder.name)
        own = secret(MODELS[name])
        n = own.shape[-1]
        shift = 10.0 * (feature == "mel" and MODELS[name] == "frames")
        metadata = dict(labels=list(EMOTIONS), input=MODELS[name], mean=[shift] * n, std=[1.0] * n)
        # As of --adapt speaker, whose arrays are centred already: this mean must not be subtracted once more.
        return inference.Model(folder.name, SimpleNamespace(network=network(own.shape, own)), metadata,
                               speaker_mean=np.float32(np.full(n, 100)))

    def write(accuracies):
        fit_ids = {}
        for number, ((feature, name, fold), accuracy) in enumerate(accuracies.items()):
            tested = np.arange(1, N_CLIPS, 3)
            p_sad = np.where(corpus.labels[tested], 0.6 + 0.01 * tested, 0.4 - 0.01 * tested)
            table = pd.DataFrame(dict(file=corpus.files[tested], actor=tested % 3, p_happy=1 - p_sad, p_sad=p_sad,
                                      true=np.array(EMOTIONS)[corpus.labels[tested]]))
            table["predicted"] = table.true
            folder = runs.fit_name(feature, name, fold)
            fit_ids[folder] = f"{100 * len(accuracies) + number:016d}"
            row = dict(feature=feature, model=name, fold=fold, protocol="p", fit_id=fit_ids[folder], fit_seconds=1.0,
                       parameters=5, **metrics.fit_metrics(table, table) | {"validation_accuracy": accuracy})
            runs.write_fit(tmp_path / "fits" / folder, {
                "metrics.json": json.dumps(row), "predictions.csv": table.to_csv(index=False),
                "validation_predictions.csv": table.to_csv(index=False),
                "svm.npz" if name in ("svm", "dtw") else "model.keras": b""})
        write_json(tmp_path / "config.json", dict(
            format=runs.FORMAT, fit_ids=fit_ids, n_folds=2, classes=EMOTIONS,
            feature_params=dict(hop_length=512, sr=1024),
            settings={"MODELS": {name: {"input": kind} for name, kind in MODELS.items()}}))
        write_json(tmp_path / "environment.json", {})
        clips = pd.DataFrame(dict(file=corpus.files, actor=np.arange(N_CLIPS) % 3))
        for name in ("clips.csv", "folds.csv"):
            write_csv(tmp_path / name, clips)
        return tmp_path

    monkeypatch.setattr(inference, "load_model", load_model)
    write.loaded = loaded
    return write


def explain_run(folder, corpus):
    explain.write_explanations(folder, corpus.sequences, corpus.functionals, corpus.lengths)
    return {path.name for path in folder.iterdir()} & {"occlusion.npz", "tsne.csv", "permutation_importance.csv"}


def test_explanations_of_the_first_fold(finished, corpus):
    """Of mel, though a network on MFCC is better, and not of an SVM, though it is better still."""
    folder = finished({("mfcc", "cnn1d", 0): 0.9, ("mel", "cnn1d", 0): 0.5, ("mel", "bilstm", 0): 0.6,
                       ("mel", "bilstm", 1): 0.8, ("mel", "dtw", 0): 0.95, ("mfcc", "mlp", 0): 0.4,
                       ("mel", "mlp", 0): 0.7, ("mel", "svm", 0): 0.95})
    assert len(explain_run(folder, corpus)) == 3
    assert finished.loaded == ["mel-bilstm-fold0", "mel-mlp-fold0"]

    with np.load(folder / "occlusion.npz", allow_pickle=False) as stored:
        assert (str(stored["model"]), str(stored["feature"]), int(stored["fold"])) == ("bilstm", "mel", 0)
        assert stored["fit_id"] == "0000000000000802" and stored["hop_seconds"] == 0.5
        assert (stored["patch_frames"], stored["patch_fraction"]) == explain.PATCH
        assert list(stored["emotions"]) == list(stored["predicted"]) == list(EMOTIONS) and stored["axis"] == "band"
        assert list(stored["files"]) == ["10.wav", "7.wav"]                 # most confident of clips 1, 4, 7, 10
        assert np.array_equal(stored["inputs"], corpus.sequences["mel"][[10, 7], 0])       # not standardised
        falls = stored["falls"]
        assert falls.shape == (2, N_FRAMES, N) and (falls[:, 5:] == 0).all()                # beyond the real frames
        assert (falls[:, :5, 0] > 1).all() and np.abs(falls[:, :, 1:]).max() < 1e-4         # the column that decides

    points = pd.read_csv(folder / "tsne.csv", dtype={"fit_id": str})
    assert list(points.file) == ["1.wav", "4.wav", "7.wav", "10.wav"] and list(points.actor) == [1, 1, 1, 1]
    assert list(points.true) == ["sad", "happy", "sad", "happy"] and set(points.fit_id) == {"0000000000000802"}
    assert np.isfinite(points[["x", "y"]]).all(axis=None)

    importance = pd.read_csv(folder / "permutation_importance.csv", dtype={"fit_id": str})
    assert importance.groupby("functional").size().eq(explain.N_REPEATS).all()
    falls = importance.groupby("functional").fall.mean()
    assert len(falls) == N_FUNCTIONALS and falls["max"] > 0 and (falls.drop("max") == 0).all()
    assert set(importance.fit_id) == {"0000000000000806"} and set(importance.model) == {"mlp"}


def test_explanations_are_made_once_for_a_fit(finished, corpus):
    fits = {("mfcc", "cnn1d", 0): 0.5, ("mfcc", "mlp", 0): 0.5}
    folder = finished(fits)
    explain_run(folder, corpus)
    explain_run(folder, corpus)
    assert finished.loaded == ["mfcc-cnn1d-fold0", "mfcc-mlp-fold0"]
    for damaged, again in (("occlusion.npz", "cnn1d"), ("tsne.csv", "cnn1d"), ("permutation_importance.csv", "mlp")):
        (folder / damaged).write_bytes(b"PK no data")
        explain_run(folder, corpus)
        assert finished.loaded.pop() == f"mfcc-{again}-fold0" and len(finished.loaded) == 2
    folder = finished({("mfcc", "bilstm", 0): 0.9} | fits)                  # a better network, and other fit_ids
    explain_run(folder, corpus)
    assert finished.loaded[2:] == ["mfcc-bilstm-fold0", "mfcc-mlp-fold0"]


@pytest.mark.parametrize("fits, expected", [
    ({}, set()),
    ({("mfcc", "svm", 0): 0.5, ("mfcc", "dtw", 0): 0.5}, set()),
    ({("mfcc", "mlp", 1): 0.5}, {"permutation_importance.csv"}),            # fold 1 is the first that is finished
    ({("mfcc", "cnn1d", 0): 0.5}, {"occlusion.npz", "tsne.csv"})])
def test_a_run_without_a_kind_of_network_has_no_explanation_of_it(finished, corpus, fits, expected):
    assert explain_run(finished(fits), corpus) == expected
