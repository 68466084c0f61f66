"""What the figures compute and how they look, on tables and arrays whose answer is known."""
import subprocess
import sys

import librosa
import numpy as np
import pandas as pd
import pytest
import seaborn
from commands import HANG_SECONDS, ROOT
from test_viz import CLASSES, LABELS, predictions

import features
from ser import clip_plots, plots, result_plots
from ser.recording import ArrayRecording


# -- tables of predictions -------------------------------------------------------------------------
def test_confusion_counts_and_percentages_are_in_the_fixed_order():
    counts, percent = result_plots.confusion_counts(predictions(), CLASSES)
    assert list(counts.index) == list(counts.columns) == list(CLASSES)
    assert counts.loc["happy", "angry"] == 3 and counts.loc["happy", "happy"] == 7
    assert percent.loc["happy", "angry"] == 30 and (percent.sum(axis=1) == 100).all()
    assert counts.to_numpy().trace() == 77


def test_an_emotion_nobody_spoke_has_an_empty_row():
    counts, percent = result_plots.confusion_counts(predictions().query("true != 'calm'"), CLASSES)
    assert (counts.loc["calm"] == 0).all() and (percent.loc["calm"] == 0).all()


def test_confusion_title_has_the_accuracy():
    figure = result_plots.confusion_matrix(predictions(), CLASSES, LABELS)
    assert "96.2 % of 80 clips" in figure.get_suptitle()              # 77 of 80
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == (0, 100)                                      # one scale for every matrix


def test_confusion_grid_has_an_empty_panel_where_no_fold_is_finished():
    table = pd.concat([predictions(), predictions("mel"), predictions("mfcc", "mlp")], ignore_index=True)
    panels = result_plots.confusion_grid(table, CLASSES, LABELS).axes[:4]
    texts = [[text.get_text() for text in ax.texts] for ax in panels]
    assert [ax.get_title() for ax in panels] == [
        "1-D CNN, MFCC", "1-D CNN, Mel spectrogram", "MLP, MFCC", "MLP, Mel spectrogram"]
    assert texts[3] == ["no fits"] and texts[0].count("100") == 7 and {"70", "30"} < set(texts[0])


def test_comparison_writes_mean_and_spread_of_the_folds():
    worse = predictions(fold=1)
    worse.loc[:7, "predicted"] = "sad"                                # eight more wrong: 69 of 80
    summary = pd.DataFrame([dict(model="cnn1d", feature="mfcc", accuracy_low=0.8, accuracy_high=0.95,
                                 p_against_best=0.25)])
    figure = result_plots.comparison(pd.concat([predictions(), worse]), summary, 1 / 8, LABELS)
    texts = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    folds = 100 * np.array([77, 69]) / 80
    assert texts[0] == [f"{folds.mean():.1f} ± {folds.std(ddof=1):.1f}  p 0.25"]
    assert "p" not in texts[1][0]
    whisker = figure.axes[0].collections[0].get_segments()[0][:, 0]
    assert whisker == pytest.approx([80, 95])                           # the interval, not the standard deviation


def test_reliability_is_drawn_before_and_after_the_temperature():
    """All answers at 60 %, all right but the three: after a temperature near 0 the point is at 100 %."""
    fits = pd.DataFrame([dict(feature="mfcc", model="cnn1d", fold=0, temperature=0.05)])
    _, uncalibrated, calibrated = result_plots.reliability(predictions(), fits, LABELS).axes[0].lines
    assert [*uncalibrated.get_xydata()[0]] == pytest.approx([60, 100 * 77 / 80])
    assert [*calibrated.get_xydata()[0]] == pytest.approx([100, 100 * 77 / 80])


def test_recall_and_f1_of_an_emotion():
    """`happy`: 7 of 10 found, none wrongly; `angry`: all found, 3 wrongly."""
    tables = result_plots.recall_and_f1(predictions(), CLASSES, LABELS)
    recall, f1 = (tables[title].loc["1-D CNN, MFCC"] for title in ("Recall (%)", "F1 (%)"))
    assert (recall["happy"], recall["angry"]) == pytest.approx((70, 100))
    assert (f1["happy"], f1["angry"]) == pytest.approx((100 * 14 / 17, 100 * 20 / 23))


def test_accuracy_by_a_column():
    table = result_plots.accuracy_table(predictions().assign(half=["b"] * 40 + ["a"] * 40), "half", LABELS)
    assert list(table.columns) == ["a", "b"] and list(table.loc["1-D CNN, MFCC"]) == [100, 100 * 37 / 40]


def test_curves_of_the_reference_have_a_line_per_network():
    histories = pd.read_csv(ROOT / "reference/histories.csv.gz").query("model == 'cnn1d' and feature == 'mfcc'")
    figure = result_plots.training_curves(histories, 1 / 8, LABELS)
    networks = histories.groupby(["fold", "member"]).ngroups
    for ax in figure.axes:
        thin = [line for line in ax.lines if line.get_linewidth() == result_plots.NETWORK_LINE_WIDTH]
        assert len(thin) == 2 * networks                                    # training and validation
        dots = next(line for line in ax.lines if line.get_marker() == "o")
        assert len(dots.get_xdata()) == networks


def test_heat_map_writes_numbers_and_leaves_gaps_empty():
    table = pd.DataFrame({"a": [12.4, np.nan], "b": [99.6, 50.0]}, index=["one", "two"])
    figure = plots.heat_maps("title", {"part": table}, lowest=10)
    ax = figure.axes[0]
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [
        ("12", "black"), ("100", "white"), ("50", "black")]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"] and ax.get_title() == "part"


# -- arrays of clips -------------------------------------------------------------------------------
def test_features_are_shown_as_levels_or_standardised():
    """Columns called "band" keep their dB; others have mean 0 and standard deviation 1 over all clips shown."""
    rng = np.random.default_rng(0)
    mel, mfcc = ([rng.normal(-40, 10, (frames, n)) for frames in (5, 8)] for n in (6, 3))
    for x in mfcc:
        x[:, 2] = 7                                                     # a constant column is not divided by 0
    figure = clip_plots.feature_examples(["sad", "happy"], {"mel": mel, "mfcc": mfcc}, 0.5, LABELS,
                                         {"mel": "band", "mfcc": "coefficient"})
    images = [ax.images[0] for ax in figure.axes[:4]]                   # row by row
    assert np.allclose(images[0].get_array(), mel[0].T) and np.allclose(images[2].get_array(), mel[1].T)
    shown = np.concatenate([images[1].get_array().T, images[3].get_array().T])
    assert np.allclose(shown.mean(axis=0), 0) and np.allclose(shown.std(axis=0), [1, 1, 0])
    assert images[3].get_extent() == [-0.25, 3.75, -0.5, 2.5]           # s, rows: a frame is centred on its time
    assert [ax.get_title() for ax in figure.axes[:2]] == ["Mel spectrogram", "MFCC"]


def test_occlusion_maps_have_one_symmetric_scale_and_time_in_seconds():
    inputs = [np.random.default_rng(0).random((frames, 4)) for frames in (6, 10)]
    falls = [np.full((6, 4), -2.0), np.full((10, 4), 1.0)]
    figure = clip_plots.occlusion_maps(["sad", "happy"], inputs, falls, 0.5, "title")
    clip, fall = (ax.images[0] for ax in figure.axes[2:4])
    assert np.allclose(clip.get_array(), inputs[1].T) and clip.get_extent() == [0, 5, 0, 4]
    assert fall.get_clim() == (-2, 2) and (fall.get_array() == 1).all()


def test_tsne_has_the_points_of_each_emotion_in_its_colour():
    points = np.arange(12.0).reshape(6, 2)
    figure = clip_plots.tsne_scatter(points, np.array(["sad", "happy"] * 3), np.array([1, 1, 2, 2, 3, 3]),
                                     ["happy", "sad", "calm"], "title")
    happy, sad, calm = figure.axes[0].collections
    assert (happy.get_offsets() == points[1::2]).all() and (sad.get_offsets() == points[::2]).all()
    assert len(calm.get_offsets()) == 0 and len(figure.axes[1].collections[0].get_offsets()) == 6


def test_importance_bars_are_sorted_and_in_points():
    falls = np.array([[0.5, 0.5], [0.1, 0.3], [0, 0]])
    ax = clip_plots.importance_bars(falls, ["mean", "std", "max"], "title").axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0, 20, 50])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["max", "std", "mean"]


# -- a recording over time -------------------------------------------------------------------------
def windows():
    """Three windows of a second: sad, unsure happy, a pause."""
    return pd.DataFrame(dict(start=[0.0, 1, 2], end=[1.0, 2, 3], label=["sad", "happy", "pause"],
                             unsure=[False, True, False], p_sad=[0.9, 0.4, np.nan], p_happy=[0.1, 0.6, np.nan]))


def test_timeline_shows_probabilities_and_answers():
    rate = 8000
    y = np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate).astype(np.float32)
    figure = plots.timeline("$talk", ArrayRecording(y, rate), windows(), ["sad", "happy"])
    wave, mel, emotions = figure.axes[:3]
    assert figure.get_suptitle().endswith("$talk") and emotions.get_xlim() == (0, 3)
    assert wave.get_ylim() == pytest.approx((-1.05, 1.05), abs=1e-3)
    assert np.ma.filled(np.ma.stack([image.get_array() for image in emotions.images[:2]]), np.nan)[..., 0] == \
        pytest.approx(np.array([[90, 10], [40, 60]]))
    sure, unsure = emotions.collections
    assert sure.get_offsets().tolist() == [[0.5, 0]] and unsure.get_offsets().tolist() == [[1.5, 1]]
    level = mel.images[0].get_array()                                   # (bands, frames)
    assert abs(level.mean(axis=1).argmax() - 64 * librosa.hz_to_mel(440) / librosa.hz_to_mel(4000)) < 1.5


def test_timeline_of_one_window_fills_the_picture():
    recording = ArrayRecording(np.ones(4000, np.float32), 8000)
    figure = plots.timeline("clip", recording, windows()[:1].assign(end=0.5), ["sad", "happy"])
    assert figure.axes[2].images[0].get_extent() == pytest.approx([0, 0.5, 1.5, -0.5])


@pytest.mark.parametrize("rate, hop_length", [(8000, 512), (22_050, 700)])
def test_mel_level_is_that_of_the_features(rate, hop_length):
    y = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
    power = features.power_spectrogram(y, n_fft=2048, hop_length=hop_length)
    expected = features.mel_spectrogram(power, sr=rate, n_mels=64, fmin=0.0, fmax=rate / 2, top_db=80.0)
    assert plots.mel_level(y, rate, hop_length) == pytest.approx(expected.T, abs=1e-3)          # dB


# -- the look --------------------------------------------------------------------------------------
def test_colours_are_those_of_the_colour_blind_palette():
    assert list(plots.COLOURS) == [colour.lower() for colour in seaborn.color_palette("colorblind").as_hex()]


def test_title_and_small_print():
    figure = plots.new_figure("title", 4, 3)
    plots.mark_title(figure, "a warning")
    plots.add_footnote(figure, "word " * 40)
    assert figure.get_suptitle() == "title\na warning"
    assert max(map(len, figure.get_supxlabel().splitlines())) <= 18 * 4


def test_drawing_needs_no_other_part_of_the_project():
    """ser/ knows no config, no TensorFlow and no top-level module."""
    code = "import sys; import ser.plots, ser.clip_plots, ser.result_plots, ser.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    loaded = set(done.stdout.split())
    own = {path.stem for path in ROOT.glob("*.py")}
    assert "ser.plots" in loaded and not loaded & (own | {"study", "tensorflow", "keras"}), done.stderr
