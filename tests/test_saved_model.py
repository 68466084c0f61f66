"""Models from anyone: hostile, damaged or of another project, each a clear error before anything is computed."""
import json
import zipfile

import numpy as np
import pytest
from commands import ROOT

import config
from ser.errors import UserError
from study import inference, saved_model, svm
from study.linear import LinearProbe

READY = ROOT / "ready/mfcc-cnn1d"
NAMES = {"sr": "SAMPLE_RATE", "trim_db": "TRIM_DB", "level": "LEVEL", "n_fft": "N_FFT", "hop_length": "HOP_LENGTH",
         "n_mels": "N_MELS", "n_gauss": "N_GAUSS", "fmin": "F_MIN", "top_db": "TOP_DB",
         "mean_subtraction": "MEAN_SUBTRACTION"}


@pytest.fixture
def metadata():
    return json.loads((READY / "preprocessing.json").read_text())


def test_the_limits_are_those_of_the_settings():
    limits = saved_model.LIMITS["loading"] | saved_model.LIMITS["params"]
    for name, setting in NAMES.items():
        assert limits[name] == config.__annotations__[setting], name
    assert saved_model.SECONDS == config.__annotations__["CLIP_SECONDS"]


def change(metadata, path, value):
    *above, last = path.split(".")
    inner = metadata
    for key in above:
        inner = inner[key]
    inner[last] = value


@pytest.mark.parametrize("path, value", [
    ("temperature", float("nan")), ("temperature", 0), ("temperature", "1"), ("temperature", -1.0),
    ("temperature", None), ("loading.sr", 10**9), ("loading.level", "louder"), ("loading.trim_db", float("inf")),
    ("params.n_gauss", 10**9), ("params.n_fft", 10**9), ("params.hop_length", 0), ("params.n_mels", -1),
    ("params.fmax", 1e6), ("params.fmin", 8000), ("params.top_db", "80"), ("params", []), ("loading", None),
    ("seconds", 1e9), ("n_frames", 10**9), ("n_frames", 127), ("mean", []), ("mean", [0.0]), ("mean", None),
    ("std", [0.0] * 40), ("std", [float("nan")] * 40), ("std", ["a"] * 40), ("speaker_mean", [0.0]),
    ("labels", []), ("labels", ["sad"]), ("labels", ["sad", "sad"]), ("labels", ["sad", 1]), ("labels", "sad"),
    ("feature", "mfcc2"), ("feature", ["mfcc"]), ("input", "waves"), ("training_range", [1]),
    ("training_range.level_dbfs", [1, 2, 3]), ("training_range.colour", [1.0, 2.0]), ("estimator", "os:system"),
    ("estimator", "study.svm:os"), ("estimator", "study.recogniser:Recogniser"), ("estimator", "study.tasks:Task")])
def test_metadata_out_of_range_is_one_clear_error(metadata, path, value, tmp_path):
    change(metadata, path, value)
    (tmp_path / "preprocessing.json").write_text(json.dumps(metadata))
    (tmp_path / "model.tflite").write_bytes((READY / "model.tflite").read_bytes())
    if path != "estimator":                     # which a network in LiteRT's format does not need
        with pytest.raises(UserError, match=rf"no usable model.*{path.split('.')[0]}|no usable model.*wrong kind"):
            inference.load_model(tmp_path)
    else:
        (tmp_path / "model.tflite").unlink()
        with pytest.raises(UserError, match="is not a model of this project"):
            inference.load_model(tmp_path)


@pytest.mark.parametrize("file, spoil", [
    ("validation_predictions.csv", lambda text: text.splitlines()[0] + "\n"),
    ("validation_predictions.csv", lambda text: text.replace("0.", "o.")),
    ("validation_predictions.csv", lambda text: text.replace("happy", "hungry")),
    ("metrics.json", lambda text: "[]"),
])
def test_predictions_that_are_none_are_one_clear_error(file, spoil, tmp_path):
    """Also at fits, whose fold metrics.json names."""
    for path in READY.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    inference.calibrate({tmp_path: 1.0})
    (tmp_path / file).write_text(spoil((tmp_path / file).read_text()))
    with pytest.raises(UserError, match="validation_predictions.csv: damaged"):
        inference.calibrate({tmp_path: 1.0})


def test_the_ready_model_passes():
    assert inference.load_model(READY).metadata["labels"][0] == "neutral"


@pytest.mark.parametrize("above", ["[]", "{", '{"demo": 1}', '{"other": true}'])
def test_a_model_is_no_demo_for_a_file_of_another_program_above_it(above, tmp_path):
    (tmp_path / "models/mine").mkdir(parents=True)
    (tmp_path / "config.json").write_text(above)
    assert not inference.is_demo(tmp_path / "models/mine")
    (tmp_path / "config.json").write_text('{"demo": true}')
    assert inference.is_demo(tmp_path / "models/mine")


def test_a_layer_that_keras_does_not_know_is_one_clear_error(one_thread, tmp_path):
    import keras

    class Unknown(keras.layers.Layer):
        def call(self, x):
            return x

    x = keras.Input((128, 40))
    y = keras.layers.Dense(8, activation="softmax")(keras.layers.GlobalAveragePooling1D()(Unknown()(x)))
    keras.Model(x, y).save(tmp_path / "model.keras")
    (tmp_path / "preprocessing.json").write_bytes((READY / "preprocessing.json").read_bytes())
    metadata = json.loads((tmp_path / "preprocessing.json").read_text())
    (tmp_path / "preprocessing.json").write_text(json.dumps(metadata | {"estimator": "study.networks:NetworkEnsemble"}))
    with pytest.raises(UserError, match="no usable model.*Keras cannot read it: "):
        inference.load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"half", bytes(5000)])
def test_a_damaged_network_is_one_clear_error(content, tmp_path):
    (tmp_path / "preprocessing.json").write_bytes((READY / "preprocessing.json").read_bytes())
    for name in ("model.tflite", "model.keras"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="no usable model"):
            inference.load_model(tmp_path)
        (tmp_path / name).unlink()


def test_a_model_with_other_labels_than_it_says_is_refused(metadata, tmp_path):
    metadata["labels"] = metadata["labels"][:-1]
    (tmp_path / "preprocessing.json").write_text(json.dumps(metadata))
    (tmp_path / "model.tflite").write_bytes((READY / "model.tflite").read_bytes())
    with pytest.raises(UserError, match="does not give a probability for each of its 7 labels"):
        inference.load_model(tmp_path)


# -- .keras ----------------------------------------------------------------------------------------
def keras_file(path, description):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", description if isinstance(description, str) else json.dumps(description))
        archive.writestr("model.weights.h5", b"")


@pytest.mark.parametrize("description, says", [
    ({"layers": [{"config": {"units": 10**9}}]}, "a layer of size 1e\\+09"), ("{ half", "Expecting"),
    ({"layers": [{"config": {"kernel_size": [10**12]}}]}, "a layer of size 1e\\+12")])
def test_a_network_too_large_to_be_one_is_refused_before_it_is_built(description, says, tmp_path):
    keras_file(tmp_path / "model.keras", description)
    with pytest.raises(ValueError, match=says):
        saved_model.check_network_file(tmp_path / "model.keras")


def test_seeds_are_no_sizes(tmp_path):
    keras_file(tmp_path / "model.keras", {"layers": [{"config": {"units": 128, "seed": 2**32 - 1, "floor": -1e9}}]})
    saved_model.check_network_file(tmp_path / "model.keras")


# -- .npz ------------------------------------------------------------------------------------------
def claims(path, shape):
    """An .npz whose array claims a shape that it does not have."""
    header = str({"descr": "<f8", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("coef.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))


@pytest.mark.parametrize("make", [
    lambda path: claims(path, (10**13,)), lambda path: claims(path, (100,)), lambda path: claims(path, (-5,)),
    lambda path: path.write_bytes(b"PK\x03\x04 half"), lambda path: np.savez(path, coef=np.array([{}], object)),
    lambda path: np.savez(path, coef=np.array(["text"])), lambda path: np.savez(path, coef=np.array([np.nan]))],
    ids=["petabytes", "too few", "negative", "half", "pickle", "text", "not a number"])
def test_arrays_that_are_no_plain_numbers_are_refused(make, tmp_path):
    make(tmp_path / "linear.npz")
    with pytest.raises(ValueError):
        saved_model.read_npz(tmp_path / "linear.npz")


def test_an_archive_that_would_unpack_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "LARGEST_BYTES", 1000)
    np.savez_compressed(tmp_path / "linear.npz", coef=np.zeros(10**6))
    with pytest.raises(ValueError, match="would unpack to more than"):
        saved_model.read_npz(tmp_path / "linear.npz")


@pytest.fixture(scope="module")
def trained():
    """A DTWSVM on noise."""
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(12, 1, 30, 4)).astype(np.float32), np.full((12, 1), 30)
    splits = [{"train": np.arange(10), "validation": np.arange(10, 12), "test": np.arange(0)}]
    model = svm.DTWSVM(2, C=1.0)
    model.fit(x, lengths, np.arange(12) % 2, splits, (np.zeros(4, np.float32), np.ones(4, np.float32)))
    return model, x[:, 0], lengths[:, 0]


@pytest.mark.parametrize("name, spoil", [
    ("frames", lambda array: array[:, :-1]), ("steps", lambda array: array + 1), ("steps", lambda array: -array),
    ("dual_coef", lambda array: array[:, :-1]), ("intercept", lambda array: array[:, :-1]),
    ("bandwidth", lambda array: 0 * array), ("bandwidth", lambda array: array[:, :1]),
    ("functionals", lambda array: array[:-1]), ("scale", lambda array: array[:1]),
    ("scale", lambda array: array[:, :3]), ("stride", lambda array: array * 10**6),
    ("stride", lambda array: array * 0), ("delta_reach", lambda array: [1, 2])])
def test_an_svm_whose_arrays_do_not_belong_together_is_refused(name, spoil, trained, tmp_path):
    model, x, lengths = trained
    (tmp_path / "svm.npz").write_bytes(model.save()["svm.npz"])
    arrays = dict(np.load(tmp_path / "svm.npz"))
    svm.DTWSVM.load(tmp_path).predict_proba(x, lengths)
    np.savez(tmp_path / "svm.npz", **arrays | {name: spoil(arrays[name])})
    with pytest.raises(ValueError):             # at the latest when it is asked: never read past the end of an array
        svm.DTWSVM.load(tmp_path).predict_proba(x, lengths)


def test_a_probe_whose_arrays_do_not_belong_together_is_refused(tmp_path):
    np.savez(tmp_path / "linear.npz", coef=np.zeros((1, 2, 3)), intercept=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="holds no linear probe"):
        LinearProbe.load(tmp_path)
