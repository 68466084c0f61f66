"""Adding a feature, a network, a corpus or a protocol is its function and its row: the real command on a changed copy.

(A figure is added in tests/test_viz.py.)
"""
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from commands import HANG_SECONDS, UNNOISY, copy_project, digits
from sounds import tone, write

FEATURE = """
def loudness(clip):
    \"\"\"Level in dB, twice: float32 (frames, 2).\"\"\"
    return np.repeat(power_to_db(clip.power.mean(axis=1, keepdims=True), clip.params["top_db"]), 2, axis=1)


class Feature(NamedTuple):"""
NETWORK = '''"""A toy."""
from keras import Input, Model, layers


def toy(input_shape, classes):
    frames = Input(input_shape)
    return Model(frames, layers.Dense(classes, activation="softmax")(layers.Flatten()(frames)))
'''
PROTOCOL = """
def odd_files(clips, n_folds, seed):
    return np.arange(len(clips)) % 2


class Protocol(NamedTuple):"""


def insert(path, before, text):
    """Put text in place of a line, which must be there once."""
    source = path.read_text()
    assert source.count(before) == 1
    path.write_text(source.replace(before, text))


def train(project, *arguments, cwd):
    done = subprocess.run([sys.executable, str(project / "train.py"), *arguments], cwd=cwd, env=UNNOISY, text=True,
                          capture_output=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with a toy of each kind: a function and a row."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    insert(folder / "features.py", "\nclass Feature(NamedTuple):", FEATURE)
    insert(folder / "features.py", "FEATURES = {\n",
           'FEATURES = {\n    "loudness": Feature(loudness, "Loudness", "level", False),\n')
    (folder / "toys.py").write_text(NETWORK)
    insert(folder / "config.py", "MODELS: Models() = {", 'MODELS: Models() = {\n'
           '    "toy": Model("toys:toy", "frames", "Toy network", 4, 32, "adamw", 1e-2),')
    insert(folder / "ser/splits.py", "\nclass Protocol(NamedTuple):", PROTOCOL)
    insert(folder / "ser/splits.py", "PROTOCOLS = {\n",
           'PROTOCOLS = {\n    "odd": Protocol(odd_files, "every other clip", False),\n')
    insert(folder / "ser/corpora.py", "CORPORA = {\n", 'CORPORA = {\n    "Toy": Convention(8, '
           'r"toy(?P<actor>\\d)(?P<emotion>[AH])\\d", {"A": "angry", "H": "happy"}, None),\n')
    return folder


def test_a_toy_feature_network_and_protocol_run_like_any_other(project, demo, tmp_path):
    """And nothing of the others changes: the features are extracted again, with the same digits."""
    text = train(project, "--demo", "--features", "loudness", "mfcc", "--models", "toy", "svm", "--protocol", "odd",
                 cwd=tmp_path)
    assert "every other clip, seed 42" in text and "loudness (128, 2)" in text
    summary = pd.read_csv(tmp_path / "results/demo-odd/summary.csv")
    assert set(zip(summary.feature, summary.model)) == {
        ("loudness", "toy"), ("loudness", "svm"), ("mfcc", "toy"), ("mfcc", "svm"), ("all", "ensemble")}
    config = json.loads((tmp_path / "results/demo-odd/config.json").read_text())
    assert config["labels"]["toy"] == "Toy network" and config["labels"]["loudness"] == "Loudness"
    assert config["settings"]["MODELS"]["toy"]["epochs"] == 2                   # half, in the demo
    folds = pd.read_csv(tmp_path / "results/demo-odd/folds.csv")
    assert list(folds.fold) == list(np.arange(len(folds)) % 2)
    fit = tmp_path / "results/demo-odd/fits/loudness-toy-fold0"
    assert (fit / "model.keras").exists()
    assert json.loads((fit / "preprocessing.json").read_text())["feature"] == "loudness"
    train(project, "--demo", "--models", "svm", cwd=tmp_path)
    whole, part = digits(demo[0]), digits(tmp_path)
    assert set(part) == {"mfcc-svm-fold0", "mfcc-svm-fold1"} and all(part[name] == whole[name] for name in part)


def test_a_toy_corpus_is_known_by_its_file_names(project, tmp_path):
    for actor in (1, 2):
        for emotion, hz in (("A", 300.0), ("H", 600.0)):
            for take in (1, 2):
                write(tmp_path / "clips", f"toy{actor}{emotion}{take}.wav", tone(hz + 10 * take + actor))
    text = train(project, "--data-dir", "clips", "--models", "svm", "--features", "mfcc", "--set", "N_FOLDS=2", "--set",
                 "ENSEMBLE_SIZE=1", "--set", "N_AUGMENTED=0", cwd=tmp_path)
    assert "Toy: 8 clips, 2 actors" in text
    assert (tmp_path / "results/default-toy-speakers/summary.csv").exists()


def test_a_changed_message_redoes_nothing_and_a_changed_layer_its_network_alone(project, tmp_path):
    """The real command, three times."""
    asked = ["--demo", "--features", "mfcc", "--models", "toy", "svm", "--folds", "0", "--set", "N_AUGMENTED=0"]
    assert "2 to do" in train(project, *asked, cwd=tmp_path)
    insert(project / "ser/audio.py", '"empty: no samples"', '"there is not one sample in it"')
    insert(project / "train.py", '"redo fits that are already finished"', '"train again what is finished"')
    insert(project / "toys.py", '"""A toy."""', '"""A toy of one layer."""')
    text = train(project, *asked, cwd=tmp_path)
    assert "2 finished before, 0 to do" in text and "features-" in text
    assert len(list(tmp_path.glob("cache/features-*"))) == 1
    insert(project / "toys.py", 'layers.Flatten()(frames)', 'layers.GlobalMaxPooling1D()(frames)')
    text = train(project, *asked, cwd=tmp_path)
    assert "1 finished fit made with other settings, data or code" in text
    assert "1 finished before, 1 to do" in text
    assert digits(tmp_path)["mfcc-toy-fold0"]
