"""What the figures compute and how they look, on tables and arrays whose answer is known."""
import io
import subprocess
import sys

import librosa
import matplotlib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import seaborn
from commands import HANG_SECONDS, ROOT
from test_viz import CLASSES, LABELS, predictions

import features
from ser import clip_plots, heat_maps, plots, result_plots
from ser.recording import ArrayRecording


# -- tables of predictions -------------------------------------------------------------------------
def test_confusion_counts_and_percentages_are_in_the_fixed_order():
    counts, percent = heat_maps.confusion_counts(predictions(), CLASSES)
    assert list(counts.index) == list(counts.columns) == list(CLASSES)
    assert counts.loc["happy", "angry"] == 3 and counts.loc["happy", "happy"] == 7
    assert percent.loc["happy", "angry"] == 30 and (percent.sum(axis=1) == 100).all()
    assert counts.to_numpy().trace() == 77


def test_an_emotion_nobody_spoke_has_an_empty_row():
    counts, percent = heat_maps.confusion_counts(predictions().query("true != 'calm'"), CLASSES)
    assert (counts.loc["calm"] == 0).all() and (percent.loc["calm"] == 0).all()


def test_confusion_title_has_the_accuracy():
    figure = heat_maps.confusion_matrix(predictions(), CLASSES, LABELS)
    assert "96.2 % of 80 clips" in figure.get_suptitle()              # 77 of 80
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == (0, 100)                                      # one scale for every matrix


def test_confusion_grid_has_all_experiments_best_first():
    right = predictions("mfcc", "mlp").assign(predicted=lambda rows: rows.true)
    ensemble = predictions("all", "ensemble")
    table = pd.concat([predictions(), right, ensemble], ignore_index=True)
    panels = heat_maps.confusion_grid(table, CLASSES, LABELS).axes[:3]
    assert panels[0].get_title() == "MLP, 100.0\nMFCC"
    assert {ax.get_title() for ax in panels[1:]} == {"1-D CNN, 96.2\nMFCC", "Ensemble, 96.2"}
    texts = [[text.get_text() for text in ax.texts] for ax in panels]
    assert texts[0].count("100") == 8 and texts[1].count("100") == 7 and {"70", "30", ""} == {*texts[1]} - {"100"}
    assert [ax.images[0].get_clim() for ax in panels] == [(0, 100)] * 3


def comparison_of_two_folds(chance=1 / 8, **changes):
    worse = predictions(fold=1)
    worse.loc[:7, "predicted"] = "sad"                                # eight more wrong: 69 of 80
    best = predictions("mel", "mlp").assign(predicted=lambda rows: rows.true)
    summary = pd.DataFrame([dict(model="cnn1d", feature="mfcc", accuracy_mean=0.9, accuracy_low=0.8, accuracy_high=0.95,
                                 p_against_best=0.25),
                            dict(model="mlp", feature="mel", accuracy_mean=1.0, accuracy_low=1.0, accuracy_high=1.0,
                                 p_against_best=np.nan)])
    return result_plots.comparison(pd.concat([predictions(), worse, best]), summary.assign(**changes), chance, LABELS)


def test_comparison_is_sorted_and_writes_mean_and_spread_of_the_folds():
    left, right, legend = comparison_of_two_folds().axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["MLP, Mel spectrogram", "1-D CNN, MFCC"]
    folds = 100 * np.array([77, 69]) / 80
    texts = {text.get_text(): text.xy[1] for text in left.texts}
    assert texts[f"{folds.mean():.1f} ± {folds.std(ddof=1):.1f}"] == 1 and texts["100.0 (1 fold)"] == 0
    assert texts["0.25"] == 1 and "0.25" not in {text.get_text() for text in right.texts}
    assert {"mean ± std", "p"} <= set(texts)


def test_comparison_has_the_same_kind_of_interval_in_both_panels():
    """For accuracy that of the summary; for F1 a bootstrap over the four actors, of no width without mistakes."""
    left, right, _ = comparison_of_two_folds().axes
    accuracy, f1 = ([lines.get_segments()[0][:, 0] for lines in ax.collections] for ax in (left, right))
    assert accuracy[0] == pytest.approx([100, 100]) and accuracy[1] == pytest.approx([80, 95])
    assert f1[0] == pytest.approx([100, 100]) and 80 < f1[1][0] < f1[1][1] < 100


def test_comparison_shows_the_data_whole_and_chance_only_in_view():
    for chance, shown in ((1 / 8, False), (0.9, True)):
        left, right, legend = comparison_of_two_folds(chance).axes
        for ax in (left, right):
            low, high = ax.get_xlim()
            dots = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"])
            assert low < dots.min() and dots.max() < high and low > 50
            assert any(line.get_linestyle() == ":" for line in ax.lines) == shown
        names = [text.get_text() for text in legend.get_legend().get_texts()]
        assert names == ["Mel spectrogram", "MFCC", "one fold", "mean, 95 % interval", *["chance (90.0 %)"] * shown]


def test_comparison_names_the_colour_of_the_ensemble():
    table = pd.concat([predictions(), predictions("mel"), predictions("all", "ensemble")])
    summary = table.drop_duplicates(["model", "feature"])[["model", "feature"]].assign(
        accuracy_mean=[0.7, 0.8, 0.9], accuracy_low=np.nan, accuracy_high=np.nan, p_against_best=np.nan)
    left, _, legend = result_plots.comparison(table, summary, 1 / 8, LABELS).axes
    names = {text.get_text(): line.get_color() for text, line in zip(legend.get_legend().get_texts(),
                                                                     legend.get_legend().get_lines())}
    drawn = {line.get_color() for line in left.lines}
    assert len(drawn) == 3 and drawn == {names[name] for name in ("Ensemble of all", "Mel spectrogram", "MFCC")}
    assert not left.collections                                         # no interval of a single actor


def test_reliability_is_drawn_before_and_after_the_temperature():
    """All answers at 60 %, all right but the three: after a temperature near 0 the point is at 100 %."""
    fits = pd.DataFrame([dict(feature="mfcc", model="cnn1d", fold=0, temperature=0.05)])
    ax, legend = result_plots.reliability(predictions(), fits, LABELS).axes
    uncalibrated, calibrated, _ = ax.lines
    assert [*uncalibrated.get_xydata()[0]] == pytest.approx([60, 100 * 77 / 80])
    assert [*calibrated.get_xydata()[0]] == pytest.approx([100, 100 * 77 / 80])
    names = {text.get_text(): line for text, line in zip(legend.get_legend().get_texts(),
                                                         legend.get_legend().get_lines())}
    assert names["uncalibrated"].get_linestyle() == uncalibrated.get_linestyle() == "--"
    assert names["calibrated"].get_linestyle() == calibrated.get_linestyle() == "-"
    assert names["MFCC"].get_marker() == calibrated.get_marker() != "None"


def test_reliability_has_a_panel_per_model_in_rows_and_a_look_per_feature():
    models = ["cnn1d", "mlp", "svm", "dtw"]
    keys = [(feature, model) for model in models for feature in ("mfcc", "mel")]
    fits = pd.DataFrame([dict(feature=feature, model=model, fold=0, temperature=1.0) for feature, model in keys])
    table = pd.concat([predictions(*key) for key in keys])
    axes = result_plots.reliability(table, fits, LABELS | {"svm": "SVM", "dtw": "DTW"}).axes[:4]
    assert len({ax.get_subplotspec().rowspan.start for ax in axes}) == 2
    for ax in axes:
        looks = {(line.get_color(), line.get_marker()) for line in ax.lines[:4]}
        assert len(looks) == 2 == len({marker for _, marker in looks})


def test_reliability_of_few_clips_says_so():
    fits = pd.DataFrame([dict(feature="mfcc", model="cnn1d", fold=0, temperature=1.0)])
    ax = result_plots.reliability(predictions()[:result_plots.MIN_BIN_CLIPS - 1], fits, LABELS).axes[0]
    assert [text.get_text() for text in ax.texts] == ["too few clips"]


def test_recall_and_f1_of_an_emotion():
    """`happy`: 7 of 10 found, none wrongly; `angry`: all found, 3 wrongly."""
    tables = heat_maps.recall_and_f1(predictions(), CLASSES, LABELS)
    recall, f1 = (tables[title].loc["1-D CNN, MFCC"] for title in ("Recall (%)", "F1 (%)"))
    assert (recall["happy"], recall["angry"]) == pytest.approx((70, 100))
    assert (f1["happy"], f1["angry"]) == pytest.approx((100 * 14 / 17, 100 * 20 / 23))


def test_results_of_many_emotions_stand_one_below_the_other():
    for classes, stacked in ((CLASSES, False), ([*CLASSES, *"abcd"], True)):
        recall, f1 = heat_maps.results_per_emotion(predictions(), classes, LABELS).axes[:2]
        assert (recall.get_subplotspec().rowspan != f1.get_subplotspec().rowspan) == stacked
        assert recall.images[0].get_array().shape == (1, len(classes))


def test_accuracy_by_a_column():
    table = heat_maps.accuracy_table(predictions().assign(half=["b"] * 40 + ["a"] * 40), "half", LABELS)
    assert list(table.columns) == ["a", "b"] and list(table.loc["1-D CNN, MFCC"]) == [100, 100 * 37 / 40]


def test_actors_with_long_names_are_rows_of_the_accuracy_per_actor():
    names = [f"{first} Featherstonehaugh-Cholmondeley" for first in ("Alexandra", "Bartholomew", "Charlotte", "Dagmar")]
    table = predictions().assign(actor=lambda rows: [names[k - 1] for k in rows.actor])
    sexes = dict(zip(names, ("female", "male", "female", "not known")))
    women, men, others, _ = heat_maps.accuracy_per_actor(table, sexes, LABELS).axes
    assert [ax.get_title() for ax in (women, men, others)] == [
        "2 women, mean 95.0 %", "1 man, mean 95.0 %", "1 actor, mean 100.0 %"]
    shown = [label.get_text() for label in women.get_yticklabels()]
    assert max(map(len, shown)) <= plots.MAX_LETTERS and shown[0].startswith("Alexandr")
    assert [label.get_text() for label in others.get_xticklabels()] == ["1-D CNN, MFCC", "mean"]
    assert {ax.images[0].get_clim() for ax in (women, men, others)} == {(95, 100)}


@pytest.mark.parametrize("values, limits", [([47.5, 91], (45, 95)), ([50, 50], (45, 50)), ([np.nan, 0, 100], (0, 100))])
def test_scale_of_heat_maps_fits_their_values(values, limits):
    assert heat_maps.scale_limits([pd.DataFrame({"a": values}), pd.DataFrame({"b": values[::-1]})]) == limits


def test_curves_of_the_reference_have_a_line_per_network():
    histories = pd.read_csv(ROOT / "reference/histories.csv.gz").query("model == 'cnn1d' and feature == 'mfcc'")
    figure = result_plots.training_curves(histories, 1 / 8, LABELS)
    networks = histories.groupby(["fold", "member"]).ngroups
    *panels, legend = figure.axes
    assert [text.get_text() for text in legend.get_legend().get_texts()] == [
        "training", "validation", "kept epoch", "accuracy of guessing (12.5 %)"]
    assert [any(line.get_linestyle() == ":" for line in ax.lines) for ax in panels] == [False, True]
    for ax in panels:
        thin = [line for line in ax.lines if line.get_linewidth() == result_plots.NETWORK_LINE_WIDTH]
        assert len(thin) == 2 * networks                                    # training and validation
        dots = next(line for line in ax.lines if line.get_marker() == "o")
        assert len(dots.get_xdata()) == networks


def test_heat_map_writes_numbers_and_leaves_gaps_empty():
    table = pd.DataFrame({"a": [12.4, np.nan], "b": [99.6, 50.0]}, index=["one", "two"])
    ax, bar = heat_maps.several_heat_maps("title", {"part": table}, "share (%)").axes
    assert bar.get_ylabel() == "share (%)" and ax.images[0].get_clim() == (10, 100)
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
    figure = clip_plots.feature_examples(
        ["sad", "happy"], {"mel": mel, "mfcc": mfcc}, {"mel": 0.5, "mfcc": 0.25}, LABELS,
        {"mel": "band", "mfcc": "coefficient"}, "dB, shifted")
    images = [ax.images[0] for ax in figure.axes[:4]]                   # row by row
    assert np.allclose(images[0].get_array(), mel[0].T) and np.allclose(images[2].get_array(), mel[1].T)
    shown = np.concatenate([images[1].get_array().T, images[3].get_array().T])
    assert np.allclose(shown.mean(axis=0), 0) and np.allclose(shown.std(axis=0), [1, 1, 0])
    assert images[2].get_extent() == [-0.25, 3.75, -0.5, 5.5]           # s, rows: a frame is centred on its time
    assert images[3].get_extent() == [-0.125, 1.875, -0.5, 2.5] and figure.axes[1].get_xlim() == (0, 4)
    assert "dB, shifted" in {ax.get_xlabel() for ax in figure.axes}
    assert [ax.get_title() for ax in figure.axes[:2]] == ["Mel spectrogram", "MFCC"]


def test_occlusion_maps_have_one_symmetric_scale_and_time_in_seconds():
    inputs = [np.random.default_rng(0).random((frames, 4)) for frames in (6, 10)]
    falls = [np.full((6, 4), -2.0), np.full((10, 4), 1.0)]
    figure = clip_plots.occlusion_maps(["sad", "happy"], ["sad", "calm"], inputs, falls, 0.5, "band", "title")
    clip, fall = (ax.images[0] for ax in figure.axes[2:4])
    assert np.allclose(clip.get_array(), inputs[1].T) and clip.get_extent() == [-0.25, 4.75, -0.5, 3.5]
    assert fall.get_clim() == (-2, 2) and (fall.get_array() == 1).all()
    assert [ax.get_title("left") for ax in figure.axes[:4:2]] == ["sad", "happy, classified as calm"]
    assert [ax.get_xlabel() for ax in figure.axes[4:]] == [
        "the clip: dB re full scale", "fall of the emotion's log-odds (nats)"]


def test_occlusion_shows_cepstra_standardised():
    """A large coefficient 0 leaves the others as visible as they are."""
    x = np.random.default_rng(0).normal(0, 1, (50, 3)) * [100, 1, 1] - [400, 0, 0]
    figure = clip_plots.occlusion_maps(["sad"], ["sad"], [x], [0 * x + 1], 0.5, "coefficient", "title")
    shown = figure.axes[0].images[0].get_array()
    assert np.allclose(shown.mean(axis=1), 0) and np.allclose(shown.std(axis=1), 1)
    assert figure.axes[2].get_xlabel() == "the clip: standard deviations"


def test_tsne_has_the_points_of_each_emotion_and_actor_in_a_colour_and_a_shape():
    points = np.arange(12.0).reshape(6, 2)
    figure = clip_plots.tsne_scatter(points, np.array(["sad", "happy"] * 3), np.array([1, 1, 2, 2, 3, 3]),
                                     ["happy", "sad", "calm"], "title")
    happy, sad, calm = figure.axes[0].collections
    assert (happy.get_offsets() == points[1::2]).all() and (sad.get_offsets() == points[::2]).all()
    assert len(calm.get_offsets()) == 0
    actors = figure.axes[1].collections
    assert [part.get_offsets().tolist() for part in actors] == [points[k:k + 2].tolist() for k in (0, 2, 4)]
    for group in ((happy, sad, calm), actors):
        assert len({part.get_paths()[0].vertices.tobytes() for part in group}) == 3         # shapes
        assert len({part.get_facecolor().tobytes() for part in group}) == 3
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["1", "2", "3"]


def test_tsne_names_the_actors_with_most_clips():
    n = clip_plots.MAX_ACTORS + 5
    actors = np.array([*range(n), *range(clip_plots.MAX_ACTORS)])
    points = np.random.default_rng(0).random((len(actors), 2))
    ax = clip_plots.tsne_scatter(points, np.full(len(actors), "sad"), actors, ["sad"], "title").axes[1]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["5 others", *map(str, range(clip_plots.MAX_ACTORS))]
    assert [len(part.get_offsets()) for part in ax.collections] == [5] + [2] * clip_plots.MAX_ACTORS


@pytest.mark.parametrize("names", [[f"Bartholomew Featherstonehaugh {k}" for k in range(20)],
                                   [str(k) for k in range(1, 25)], [str(k) for k in range(60)]])
def test_names_of_actors_do_not_overlap(names):
    clips = pd.DataFrame(dict(actor=names, emotion="sad", seconds=2.0, trimmed_seconds=1.5, peak_dbfs=-20.0))
    figure = clip_plots.data_statistics(clips, ["sad"])
    figure.draw_without_rendering()
    ax = figure.axes[1]
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) == (len(names) if len(names) <= clip_plots.MAX_BARS else 0)
    assert all(left.x1 <= right.x0 for left, right in zip(boxes, boxes[1:]))
    assert all(box.height <= 0.5 * ax.get_window_extent().height + 100 for box in boxes)


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


def test_columns_of_a_timeline_are_as_wide_as_their_windows_and_never_overlap():
    recording = ArrayRecording(np.ones(48_000, np.float32), 8000)
    columns = lambda rows: [image.get_extent()[:2] for image in                                     # noqa: E731
                            plots.timeline("clip", recording, rows, ["sad", "happy"]).axes[2].images]
    apart = windows().assign(start=[0.0, 2, 4], end=[1.0, 3, 5])
    assert columns(apart) == [pytest.approx(bounds) for bounds in ([0, 1], [2, 3], [4, 5])]
    overlapping = windows().assign(start=[0.0, 1, 1.5], end=[3.0, 4, 4.5])
    assert columns(overlapping) == [pytest.approx(bounds) for bounds in ([0, 2], [2, 2.75], [2.75, 4.5])]


@pytest.mark.parametrize("rate, hop_length", [(8000, 512), (22_050, 700)])
def test_mel_level_is_that_of_the_features(rate, hop_length):
    y = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
    power = features.power_spectrogram(y, n_fft=2048, hop_length=hop_length)
    expected = features.mel_spectrogram(power, sr=rate, n_mels=64, fmin=0.0, fmax=rate / 2, top_db=80.0)
    assert plots.mel_level(y, rate, hop_length) == pytest.approx(expected.T, abs=1e-3)          # dB


# -- the look --------------------------------------------------------------------------------------
def test_colours_are_those_of_the_colour_blind_palette():
    assert list(plots.COLOURS) == [colour.lower() for colour in seaborn.color_palette("colorblind").as_hex()]


@pytest.mark.parametrize("name", ["", "sad", "x" * plots.MAX_LETTERS, "Bartholomew Featherstonehaugh"])
def test_long_names_are_shortened_in_their_middle(name):
    short = plots.shorten(name)
    assert short == name if len(name) <= plots.MAX_LETTERS else len(short) == plots.MAX_LETTERS
    assert (name[:5], name[-5:]) == (short[:5], short[-5:])


def test_things_look_different_in_colour_and_shape():
    looks = [tuple(plots.look(k).values()) for k in range(90)]
    assert len(set(looks)) == 90 and all(a[1] != b[1] for a, b in zip(looks, looks[1:]))


def test_pictures_are_white_also_on_a_dark_page():
    with matplotlib.rc_context(plots.STYLE):
        figure = plots.new_figure("title", 4, 3)
        figure.subplots().plot([1, 2])
        file = io.BytesIO()
        figure.savefig(file, format="png")
    pixels = matplotlib.image.imread(io.BytesIO(file.getvalue()))
    assert (pixels[0, 0] == 1).all()                                    # white, and opaque


def test_title_and_small_print():
    figure = plots.new_figure("title", 4, 3)
    plots.mark_title(figure, "a warning")
    plots.add_footnote(figure, "word " * 40)
    assert figure.get_suptitle() == "title\na warning"
    assert max(map(len, figure.get_supxlabel().splitlines())) <= plots.LETTERS_PER_INCH * 4


def test_drawing_needs_no_other_part_of_the_project():
    """ser/ knows no config, no TensorFlow and no top-level module."""
    code = ("import sys; import ser.plots, ser.clip_plots, ser.heat_maps, ser.result_plots, ser.report; "
            "print(*sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    loaded = set(done.stdout.split())
    own = {path.stem for path in ROOT.glob("*.py")}
    assert "ser.plots" in loaded and not loaded & (own | {"study", "tensorflow", "keras"}), done.stderr
