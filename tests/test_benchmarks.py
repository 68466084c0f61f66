"""The benchmarks run, on a few clips and frames; both implementations do the same work; no time is judged."""
import json
import random
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from sounds import tone, write

import data_preprocessing as data
import features
from benchmarks import (
    adaptation,
    baseline,
    clips,
    faults,
    fits,
    processors,
    report,
    robustness,
    run,
    scaling,
    spoilt,
    timnet,
)
from study import fitting
from study.backend import keras, tf, use_one_thread

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")

FOLDER = Path(run.__file__).parent
TINY = fits.FoldSize(train=6, validation=2, test=2)
FEATURE_TOLERANCE = 1e-2        # dB and cepstra of tens: two ways to the same float32 numbers


@pytest.fixture(scope="module", autouse=True)
def eager():
    """One thread, and no compilation, which takes longer than these steps."""
    use_one_thread()
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def tiny(settings):
    """Settings with few frames, few epochs, one copy, one member, and the smallest of networks in the row of cnn1d."""
    settings = settings(CLIP_SECONDS=0.5, N_AUGMENTED=1, ENSEMBLE_SIZE=1)
    row = settings.MODELS["cnn1d"]._replace(epochs=2, batch_size=4)
    return settings.replace(MODELS=settings.MODELS | {"cnn1d": row._replace(builder="test_benchmarks:linear")})


def linear(input_shape, n_classes):
    frames = keras.Input(input_shape)
    x = keras.layers.GlobalAveragePooling1D()(frames)
    return keras.Model(frames, keras.layers.Dense(n_classes, activation="softmax")(x))


@pytest.fixture(scope="module")
def paths(demo_folder):
    """Two synthesised clips."""
    return [str(path) for path in sorted(demo_folder.rglob("*.wav"))[::8]]


@pytest.fixture(scope="module")
def outcomes(paths, tiny):
    """What both implementations make of the second clip: {row: (ours, conventional)}, None where there is no such."""
    work = clips.clip_work(paths, tiny)
    return {name: tuple(None if function is None else function(1) for function in both) for name, both in work.items()}


@pytest.fixture
def small_corpus(demo_folder, monkeypatch):
    monkeypatch.setenv("RAVDESS_DIR", str(demo_folder))


def words(text):
    """The lines of a page without their numbers; of the rows of a table the first cell."""
    lines = [line.split(" | ")[0] if line.startswith("| ") and above.startswith("|") else line
             for above, line in zip(["", *text.splitlines()], text.splitlines())]
    return [re.sub(r"[\d.,%]+", "#", line) for line in lines if not line.startswith("Written by")]


def reported_rows():
    """The table of clips in RESULTS.md: {row: whether there is a figure of ours, and of the conventional one}."""
    section = (FOLDER / "RESULTS.md").read_text().split("## ")[1]
    cells = [re.split(r" *\| *", line)[1:4] for line in section.splitlines() if line.startswith("| ")][2:]
    return {name: (ours != "", conventional != "") for name, ours, conventional in cells}


# -- clips -----------------------------------------------------------------------------------------
def test_both_implementations_compute_the_same(outcomes, tiny):
    assert np.std(np.subtract(*outcomes["load, resample, trim"])) < 1e-5        # ours removes a constant offset
    ours, conventional = outcomes["MFCC + mel + Gaussian cepstra"]
    assert np.allclose(ours["mfcc"], conventional["mfcc"], atol=FEATURE_TOLERANCE)
    assert np.allclose(ours["mel"] - ours["mel"].max(), conventional["mel"], atol=FEATURE_TOLERANCE)    # relative to it
    assert ours["gauss"].shape == conventional["gauss"].shape           # filters alike, not the same
    for row, feature in report.ALONE.items():
        assert np.array_equal(outcomes[feature][1], conventional[row])
    for (ours, conventional), n in zip(zip(*outcomes["functionals of the three"]), (40, 128, 40)):
        assert ours.shape == (1, 13 * n) and conventional.shape == (13 * n,)
    ours, conventional = outcomes["DTW distances to 2 clips"]
    assert ours[0, 1] == conventional[1] == 0 < min(ours[0, 0], conventional[0])        # of the second clip to itself


def test_functionals_agree():
    """Ours lists all means first, then all standard deviations; the conventional implementation column by column."""
    x = np.random.default_rng(0).standard_normal((30, 4))
    ours = features.functionals(x[None], np.array([30]))[0].reshape(13, 4)
    assert np.allclose(ours, baseline.functionals(x).reshape(4, 13).T, atol=1e-5)


def test_rows_of_clips_are_those_of_the_page(outcomes):
    """With a figure for each implementation that has one."""
    present = {name.replace("2 clips", "24 clips"): tuple(value is not None for value in both)
               for name, both in outcomes.items()}
    assert present == reported_rows()


def test_every_clip_is_timed_once_a_round():
    calls = []
    work = {"both": (calls.append, lambda k: calls.append(10 + k)), "one": (lambda k: calls.append(20 + k), None)}
    rows = clips.time_work(work, n_clips=2, repeats=2)
    assert calls == 3 * [0, 1, 10, 11, 20, 21]                  # the first round does not count
    assert {name: [len(side) for side in sides] for name, sides in rows.items()} == {"both": [2, 2], "one": [2, 0]}


def test_clips_are_spread(small_corpus, tmp_path, tiny):
    table = clips.spread_clips(tmp_path, 8, tiny.CLASSES)
    assert len(table) == 8 and table.emotion.nunique() >= 7 and not list(tmp_path.iterdir())


def test_the_peak_is_in_gflops():
    assert 1 < clips.gemm_peak(1, size=512) < 1e4             # GFLOP/s: a factor of a thousand would be seen


def easy_copy(path, copy):
    """A copy of a clip that both implementations load alike: ours removes a constant offset, and trims above noise."""
    y, rate = soundfile.read(path)
    soundfile.write(copy, np.pad(y - y.mean(), rate), rate, subtype="FLOAT")
    return copy


def test_both_predict_the_same(paths, tiny, tmp_path):
    tiny = tiny.replace(ENSEMBLE_SIZE=2, CLIP_SECONDS=3.0)          # the whole clips: ours would cut longer ones up
    network = clips.untrained_cnn1d(tiny)
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.01, weight.shape) for weight in network.get_weights()])    # features of tens
    paths = [easy_copy(path, tmp_path / Path(path).name) for path in paths]
    ours, conventional = (clips.predictor(name, network, tiny)(paths) for name in ("ours", "baseline"))
    assert ours.shape == (len(paths), len(tiny.CLASSES)) and np.allclose(ours.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(ours, conventional, atol=1e-4) and ours.std(axis=0).max() > 1e-2     # not all the same


# -- fits ------------------------------------------------------------------------------------------
def test_a_fit_of_ours(tiny):
    figures = fits.fit_ours(tiny, "cnn1d", "mel", TINY)
    assert figures["steps"] == 6 * 2 // 4 and all(value > 0 for value in figures.values())
    n, n_classes = tiny.N_MELS, len(tiny.CLASSES)
    assert figures["flops"] == 3 * 4 * 3 * 2 * n * n_classes and figures["parameters"] == (n + 1) * n_classes
    assert json.loads(json.dumps(figures)) == figures


@pytest.mark.parametrize("network_of", ["baseline", "ours"])
def test_a_conventional_fit(tiny, network_of):
    figures = fits.fit_baseline(tiny, "cnn1d", "mfcc", network_of, TINY)
    assert set(figures) == {"epoch", "start", "parameters", "memory"} and figures["memory"] > 0.1
    assert figures["parameters"] == (503_752 if network_of == "baseline" else 41 * 8)


def test_operations_by_hand():
    x = frames = keras.Input((10, 4))
    x = keras.layers.Conv1D(6, 3, padding="same")(x)                        # 10 positions x 3 x 4 x 6
    x = keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True))(x)      # 2 x 10 x (6 + 5) x 20
    network = keras.Model(frames, keras.layers.Dense(2)(keras.layers.Flatten()(x)))     # 100 x 2
    assert fits.training_flops(network, 7) == 7 * 3 * 2 * (10 * 72 + 2 * 10 * 11 * 20 + 100 * 2)
    unknown = keras.Sequential([keras.Input((10, 4)), keras.layers.GRU(3)])
    with pytest.raises(ValueError, match="GRU"):
        fits.training_flops(unknown, 1)


@pytest.mark.parametrize("model_name", baseline.BUILDERS)
def test_networks_of_the_conventional_implementation(model_name):
    """Of the size that RESULTS.md reports, on 128 frames of 40 MFCCs."""
    network = baseline.BUILDERS[model_name]((520,) if model_name == "mlp" else (128, 40), 8)
    reported = re.search(rf"^\| {model_name}, mfcc .* and ([\d,]+) \|$", (FOLDER / "RESULTS.md").read_text(), re.M)
    assert network.output_shape == (None, 8) and f"{network.count_params():,}" == reported[1]


def test_a_job_that_fails_says_why():
    with pytest.raises(RuntimeError, match="KeyError: 'no such'"):
        run.side_by_side(("no such",))


def test_a_job_is_run_with_its_arguments(monkeypatch, capsys):
    monkeypatch.setattr(fits, "fit_baseline", lambda settings, *arguments: dict(size=settings.N_MFCC, got=arguments))
    run.main(run.parse(["--job", '["baseline", "mlp", "mfcc", "ours"]']))
    assert json.loads(capsys.readouterr().out) == {"size": 40, "got": ["mlp", "mfcc", "ours"]}


# -- the report ------------------------------------------------------------------------------------
def figures(models=run.MODELS, **changes):
    """Invented figures of fits: every epoch of ours takes 1 s side by side, of the conventional implementation 3 s."""
    ours = dict(epoch=1.0, start=10.0, imports=2.0, pipeline=0.1, steps=10, flops=50e9, parameters=1000, memory=1.5)
    other = dict(epoch=3.0, start=5.0, parameters=2000, memory=2.0)
    return {(model, feature): dict(ours=[ours, ours], baseline=[other], our_network=[other] * (feature == "mfcc"))
            for model in models for feature in (("mfcc",) if model == "mlp" else ("mfcc", "mel"))}


def clip_figures():
    """Invented seconds: 1 ms for what both do, 2 ms conventionally."""
    return {name: ([1e-3] * ours, [2e-3] * conventional) for name, (ours, conventional) in reported_rows().items()}


def test_results_have_the_words_of_the_page(settings):
    text = report.results_page(clip_figures(), dict(ours=[200.0], baseline=[20.0]), figures(), {1: 100.0, 2: 180.0},
                               cores=2, repeats=1, settings=settings())
    page = (FOLDER / "RESULTS.md").read_text()
    assert words(text) == words(page)
    assert text.splitlines()[2].startswith("Written by `python benchmarks/run.py --repeats 1`; do not edit. 2")
    lines = {line.split(" | ")[0]: line for line in text.splitlines()}
    assert lines["| 200.0 (200.0 to 200.0)"].endswith("| 10.0 (10.0 to 10.0) |")
    seconds, ratios = "1.0 (1.0 to 1.0) | 3.0 (3.0 to 3.0) | 3.0 (3.0 to 3.0)", "6.0 (6.0 to 6.0) | 6.0 (6.0 to 6.0)"
    assert f"| cnn1d, mfcc | {seconds} | {ratios} | 1,000 and 2,000 |" in text
    assert "| cnn1d, mfcc | 100.0 | 5.00 | 50.0 | 50% | 10.0% | 12.0 (12.0 to 12.0) | 1.50 |" in text


def test_minutes_of_a_study_by_hand(settings):
    """One model, whose conventional fit loads, copies and extracts anew; 5 folds and 3 features."""
    settings = settings(N_AUGMENTED=4, N_FOLDS=5, ENSEMBLE_SIZE=3)
    epochs = 3 * settings.MODELS["cnn1d"].epochs
    minutes = report.study_minutes(clip_figures(), figures(["cnn1d"]), 2, settings)
    ours, conventional = zip(*minutes.values())
    assert np.allclose(ours[:3], [1440 * 1e-3 * (1 + 4 + 5 * 2) / 2 / 60, 1440 * 1e-3 * (4 + 5) / 2 / 60,
                                  15 * (10 + epochs) / 2 / 60])
    assert np.allclose(conventional[0], 15 * 4e-3 * (1440 + 1035 * 4) / 60) and np.isnan(conventional[1])
    assert np.allclose(conventional[2], 15 * (5 + baseline.EPOCHS["cnn1d"] * 3) / 60)
    assert np.allclose([ours[3], conventional[3]], [ours[0] + ours[2], conventional[0] + conventional[2]])


def test_conventional_epochs_are_those_of_the_recipe_as_described():
    fits = pd.read_csv(FOLDER.parent / "reference/described/fits.csv").query("model != 'ensemble'")
    assert fits.groupby("model").epochs.mean().round().to_dict() == baseline.EPOCHS


def test_cells():
    assert report.cell([3e-3, 1e-3, 2e-3], 1e3) == "2.0 (1.0 to 3.0)" and report.cell([]) == ""
    assert report.ratio([4, 9], [2, 3]) == "2.5 (2.0 to 3.0)" and report.ratio([], [1]) == ""
    assert report.markdown_table(["a", "b"], [[1, 2]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


# -- scaling ---------------------------------------------------------------------------------------
def test_a_corpus_twice_as_large_is_extracted_and_trained_on(small_corpus, tmp_path, tiny, monkeypatch):
    tiny = tiny.replace(CACHE_DIR=tmp_path / "cache")
    table = scaling.enlarged_corpus(tmp_path, 2, tiny, n_clips=6)
    seconds = data.survey(table, tiny.CACHE_DIR, 1).set_index("file").seconds
    assert len(table) == table.file.nunique() == 12 and list(table.label[:6]) == list(table.label[6:])
    assert all(seconds[f"copy00-{name[7:]}"] != seconds[name] for name in seconds.index if name.startswith("copy01"))
    extracted = scaling.extraction(table, tiny, jobs=1)
    n_frames = data.extraction_params(tiny, ["mfcc"]).n_frames("mfcc")
    columns = (tiny.N_MFCC + tiny.N_MELS + tiny.N_GAUSS_COEFFICIENTS) * (n_frames + 2 * 13)    # once more for "all"
    assert extracted["cache_gigabytes"] * 1024**3 == pytest.approx(12 * 2 * 4 * columns, rel=0.01)
    splits, fit_fold = [], fitting.fit_fold
    monkeypatch.setattr(fitting, "fit_fold", lambda *arguments: splits.append(arguments[-1][0]) or fit_fold(*arguments))
    trained = scaling.training(table, tiny, jobs=1, n_held_out=2)
    assert {name: len(part) for name, part in splits[0].items()} == dict(test=2, validation=2, train=8)
    assert sorted(np.concatenate(list(splits[0].values()))) == list(range(12))
    assert trained["seconds"] > 0 and trained["gigabytes"] > 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="own_memory reads /proc")
def test_memory_at_its_peak_counts_what_is_freed_again():
    before = scaling.own_memory()
    with scaling.PeakMemory() as peak:
        held = np.ones(2**24)                                   # an eighth of a GB
        scaling.time.sleep(0.3)
        del held
    assert before + 0.1 < peak.gigabytes < before + 0.3


def test_scaling_has_the_words_of_the_page():
    table = pd.DataFrame(dict(clips=[96, 384, 1536], **{
        f"{what}_{name}": [1.0, 2.0, 4.0] for what in ("extraction", "training")
        for name in ("seconds", "gigabytes", "cache_gigabytes")}))
    text, page = scaling.page(table), (FOLDER / "SCALING.md").read_text()
    assert words(text) == words(page)
    assert text.splitlines()[2].split(" cores. ")[1] == page.splitlines()[2].split(" cores. ")[1]
    assert "| 96 | 1.0 | 10 | 1.00 | 1.00 | 1.0 | 10.4 | 1.00 |" in text
    assert [axes.get_xlabel() for axes in scaling.draw(table).axes] == ["clips", "clips"]


# -- TIM-Net ---------------------------------------------------------------------------------------
def test_mfccs_of_five_seconds(tmp_path):
    """A tone in the middle of silence, whether the clip is too short or too long: symmetric in time."""
    for seconds in (1.0, 7.0):
        silence = np.zeros(round((seconds - 0.5) / 2 * 22_050))
        x = timnet.mfcc(write(tmp_path, f"{seconds}.wav", np.concatenate([silence, tone(seconds=0.5), silence])))
        assert x.shape == (215, 39) and x.dtype == np.float32
        level = x[:, 0]
        assert level[107] > level[70] + 10 and np.isclose(level[:85], level[::-1][:85], atol=1).all()


def test_pad_or_crop():
    assert timnet.pad_or_crop(np.array([1, 2]), 5).tolist() == [0, 1, 2, 0, 0]
    assert timnet.pad_or_crop(np.arange(7), 3).tolist() == [2, 3, 4]


def test_timnet_has_the_size_of_the_paper():
    network = timnet.timnet((215, 39), 8)
    assert f"{network.count_params():,}" in (FOLDER / "TIMNET.md").read_text() and network.count_params() == 107_032


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_a_fold_of_timnet_is_kept_and_shown(tmp_path, tiny, monkeypatch):
    fit = timnet.fit
    monkeypatch.setattr(timnet, "fit", lambda *arguments: fit(*arguments, dilations=(1, 2)))
    rng, labels = np.random.default_rng(0), np.arange(12) % 3
    split = dict(train=np.arange(8), validation=np.arange(8, 9), test=np.arange(9, 12))
    x = rng.standard_normal((12, 9, 39), dtype=np.float32)
    timnet.run_fold(3, x, labels, split, seed=1, epochs=1, settings=tiny, path=tmp_path / "3.json")
    row = json.loads((tmp_path / "3.json").read_text())
    assert row["fold"] == 3 and row["parameters"] > 1000 and row["accuracy"] in (0, 1 / 3, 2 / 3, 1)


def test_timnet_has_the_words_of_the_page(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/timnet.py"])
    rows = [dict(fold=fold, accuracy=accuracy, uar=0.8, parameters=107_032, seconds=600)
            for fold, accuracy in enumerate((0.8, 0.81, 0.82, 0.83, 0.84))]
    reference = pd.DataFrame([dict(feature=feature, model=model, fold=fold, accuracy=0.5 + 0.3 * (feature == "mfcc"),
                                   uar=0.7, parameters=9, fit_seconds=60.0)
                              for feature in ("mfcc", "mel") for model in ("cnn1d", "bilstm", "hybrid", "mlp")
                              for fold in range(5)])
    text, page = timnet.page(rows, reference, 42, 200), (FOLDER / "TIMNET.md").read_text()
    assert words(text) == words(page)
    assert text.splitlines()[2].split(". 5 of 5")[1] == page.splitlines()[2].split(". 5 of 5")[1]
    assert "| TIM-Net | 82.0 ± 1.6 | 80.0 81.0 82.0 83.0 84.0 | 80.0 | 107,032 | 10.0 |" in text
    assert "| cnn1d | 80.0 ± 0.0 | 80.0 80.0 80.0 80.0 80.0 | 70.0 | 9 | 1.0 |" in text


# -- other processors --------------------------------------------------------------------------------
def test_the_spread_between_processors_is_counted_and_written():
    here = pd.DataFrame(dict(true=["a", "b", "b"], predicted=["a", "b", "a"], p_a=[0.9, 0.2, 0.6], p_b=[0.1, 0.8, 0.4]))
    there = here.assign(predicted=["a", "b", "b"], p_a=[0.9, 0.25, 0.4], p_b=[0.1, 0.75, 0.6])
    assert processors.compare(here, here) == (0, 0) and processors.compare(here, there) == (1, pytest.approx(0.2))
    text = processors.page({"one": {"cnn1d": here, "bilstm": here}, "other": {"cnn1d": there, "bilstm": here}},
                           {"one": 4.0, "other": 5.5})
    pinned = processors.page({"one": {"cnn1d": here}, "one, --reproducible": {"cnn1d": there},
                              "other, --reproducible": {"cnn1d": there}}, dict.fromkeys(
                                  ("one", "one, --reproducible", "other, --reproducible"), 1.0))
    assert "| other, --reproducible | cnn1d | 100.0 | 0 | 0.00 | 1.0 |" in pinned
    assert "| one | cnn1d | 66.7 | 0 | 0.00 | 4.0 |" in text and "| other | cnn1d | 100.0 | 1 | 0.20 | 5.5 |" in text
    assert "| other | bilstm | 66.7 | 0 | 0.00 | 5.5 |" in text and "3 test clips" in text


# -- robustness, adaptation --------------------------------------------------------------------------
def altered(accuracies, confidence=0.8):
    """A table as robustness.measure gives it: {alteration: accuracy}, 0.9 where none is given."""
    return pd.DataFrame([dict(experiment="mfcc-svm", alteration=name, accuracy=accuracies.get(name, 0.9),
                              confidence=confidence, unsure=0.25) for name in robustness.ALTERATIONS])


def test_the_page_of_robustness_marks_what_misses_a_target():
    table = altered({"16 kHz": 0.88, "offset 0.05": 0.86, "8 kHz": 0.81, "hiss -55 dBFS": 0.79, "telephone": 0.5})
    rows = {line.split(" | ")[0].strip("| "): line for line in robustness.section("a run", table).splitlines()}
    assert "90 / 80 / 25 |" in rows["clean"]
    marked = {name for name, line in rows.items() if "*" in line}
    assert marked == {"offset 0.05", "hiss -55 dBFS", "telephone"}      # 4 points of 3, 11 of 10; 30 points too sure
    text = robustness.page({"a": table}, {"a": "in words"}, 0, 96)
    assert "96 test clips of fold 0" in text and "## Run `a`: in words" in text


def test_the_page_of_adaptation_has_a_row_for_each_choice():
    table = pd.DataFrame([dict(experiment=name, choice=choice, accuracy=accuracy, without=0.5)
                          for name in ("mfcc-svm", "mfcc-cnn1d") for choice, accuracy in (
                              ("1 clips", 0.5), ("1 clips", 0.7), ("angry clips alone", 0.4))])
    text = adaptation.page(table, SimpleNamespace(config={"protocol": "in words"}))
    assert "in words" in text and "| 1 clips | 60.0 (50.0) | 60.0 (50.0) |" in text
    assert "| angry clips alone | 40.0 (50.0) |" in text


def test_clips_to_adapt_by_are_drawn_and_one_sided_ones_are_tested_on_the_others():
    emotions = np.repeat(["angry", "calm", "neutral", "happy"], 5)
    found = adaptation.choices(emotions, np.random.default_rng(0))
    assert [len(found[f"{n} clips, draw 0"][0]) for n in (0, 1, 5, 10, 20)] == [0, 1, 5, 10, 20]
    assert all(len(set(adapting)) == len(adapting) for adapting, _ in found.values())
    adapting, testing = found["angry clips alone"]
    assert set(emotions[adapting]) == {"angry"} and "angry" not in emotions[testing] and len(testing) == 15


# -- faults ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("series", [spoilt.models, spoilt.inputs])
def test_what_is_spoilt_is_answered_or_one_line(series):
    row = series(12, random.Random(1))
    assert row["spoilt"] == 12 == row["answered"] + row["one_line"] and not row["other_errors"]


def test_random_settings_are_within_their_limits():
    rng, limits = random.Random(0), faults.config.__annotations__
    settings = SimpleNamespace(N_MELS=8, N_GAUSS=8)
    for name in set(limits) - faults.LEFT_ALONE:
        for _ in range(20):
            value = faults.draw(limits[name], rng)
            assert limits[name].violation(value, settings) is None or isinstance(limits[name], faults.Each), name


def test_a_row_of_the_page_of_faults_is_written_and_the_others_stay():
    text = faults.PAGE.read_text()
    new = faults.with_row(text, "kills", dict(hit=31, other_digits=0), "2030-01-31").splitlines()
    changed = [(old, line) for old, line in zip(text.splitlines(), new) if old != line]
    ((old, line),) = changed
    assert old.startswith("| kills |") and line.endswith("| hit 31, other digits 0 | 2030-01-31 |")
    assert "train.py --demo is killed (SIGKILL) at a random moment" in line
    for name in faults.SERIES:
        assert faults.with_row(text, name, {}, "").count("\n") == text.count("\n")
