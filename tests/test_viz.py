"""The figures' arithmetic, on predictions whose answer is known, and runs in every state of completion."""
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import ROOT, run

import config
import viz
from ser import corpora, metrics
from ser.files import write_csv, write_json
from study import runs

CLASSES = config.CLASSES
PLAN = {"features": ["mfcc", "mel"], "models": ["cnn1d", "mlp"], "folds": 2}


def predictions(feature="mfcc", model="cnn1d", fold=0):
    """Ten clips of each emotion; of `happy` three are taken for `angry`, everything else is right; all at 60 %."""
    true = np.repeat(CLASSES, 10)
    predicted = true.copy()
    predicted[20:23] = "angry"
    table = pd.DataFrame(dict(feature=feature, model=model, fold=fold, file=[f"{k}.wav" for k in range(80)],
                              actor=np.arange(80) % 4 + 1, true=true, predicted=predicted))
    return table.assign(**{f"p_{name}": np.where(predicted == name, 0.6, 0.4 / 7) for name in CLASSES})


def test_confusion_counts_and_percentages_are_in_the_fixed_order():
    counts, percent = viz.confusion_counts(predictions(), CLASSES)
    assert list(counts.index) == list(counts.columns) == list(CLASSES)
    assert counts.loc["happy", "angry"] == 3 and counts.loc["happy", "happy"] == 7
    assert percent.loc["happy", "angry"] == 30 and (percent.sum(axis=1) == 100).all()
    assert counts.to_numpy().trace() == 77


def test_an_emotion_nobody_spoke_has_an_empty_row():
    counts, percent = viz.confusion_counts(predictions().query("true != 'calm'"), CLASSES)
    assert (counts.loc["calm"] == 0).all() and (percent.loc["calm"] == 0).all()


def test_confusion_title_tells_the_accuracy():
    figure = viz.confusion(predictions(), CLASSES)
    assert "96.2 % of 80 clips" in figure.get_suptitle()              # 77 of 80
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == (0, 100)                                      # one scale for every matrix


def test_comparison_writes_mean_and_spread_of_the_folds():
    worse = predictions(fold=1)
    worse.loc[:7, "predicted"] = "sad"                                # eight more wrong: 69 of 80
    summary = pd.DataFrame([dict(model="cnn1d", feature="mfcc", accuracy_low=0.8, accuracy_high=0.95,
                                 p_against_best=0.25)])
    figure = viz.comparison(pd.concat([predictions(), worse]), summary, chance=1 / 8)
    texts = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    folds = 100 * np.array([77, 69]) / 80
    assert texts[0] == [f"{folds.mean():.1f} ± {folds.std(ddof=1):.1f}  p 0.25"]
    assert "p" not in texts[1][0]
    whisker = figure.axes[0].collections[0].get_segments()[0][:, 0]
    assert whisker == pytest.approx([80, 95])                           # the interval, not the standard deviation


def test_reliability_is_drawn_before_and_after_the_temperature():
    """All answers at 60 %, all right but the three: after cooling to certainty the point is at 100 %."""
    fits = pd.DataFrame([dict(feature="mfcc", model="cnn1d", fold=0, temperature=0.05)])
    _, given, cooled = viz.reliability(predictions(), fits).axes[0].lines
    assert [*given.get_xydata()[0]] == pytest.approx([60, 100 * 77 / 80])
    assert [*cooled.get_xydata()[0]] == pytest.approx([100, 100 * 77 / 80])


def test_missing_fits_are_counted_and_named():
    run = type("Run", (), {"predictions": pd.concat([predictions(), predictions("mel", "mlp", 1)])})
    count, lines = viz.missing_fits(run, PLAN)
    assert count == 6
    assert set(lines) == {"mfcc-cnn1d fold 1", "mel-cnn1d all folds", "mfcc-mlp all folds", "mel-mlp fold 0"}


def test_examples_are_alike_where_they_can_be():
    rows = [dict(emotion=emotion, label=k, actor=actor, statement=1, intensity="normal", repetition=1)
            for k, emotion in enumerate(CLASSES) for actor in (1, 2) if (emotion, actor) != ("sad", 1)]
    chosen = viz.matched_examples(pd.DataFrame(rows))
    assert list(chosen.emotion) == list(CLASSES) and set(chosen.actor) == {2}


def test_a_run_is_read_alike_with_and_without_its_fits(tmp_path):
    """reference/ has the collected tables only; fits made with other settings are left out of both."""
    run = tmp_path / "run"
    table = predictions().drop(columns=["feature", "model", "fold"])
    for fold, kept in ((0, "now"), (1, "before")):
        row = dict(feature="mfcc", model="cnn1d", fold=fold, protocol="p", settings_hash=kept, fit_seconds=1.0,
                       parameters=5, epochs=2, best_epoch=1, **metrics.fit_metrics(table, table))
        runs.write_fit(run / "fits" / runs.fit_name("mfcc", "cnn1d", fold), {
            "metrics.json": json.dumps(row), "predictions.csv": table.to_csv(index=False),
            "validation_predictions.csv": table.to_csv(index=False), "history.csv": "epoch,loss\n1,0.5\n2,0.4\n"})
    hashes = {runs.fit_name("mfcc", "cnn1d", fold): "now" for fold in (0, 1)}
    write_json(run / "config.json", {"settings_hashes": hashes, "N_FOLDS": 2})
    write_json(run / "environment.json", {"python": "3"})
    for name in ("clips.csv", "folds.csv"):
        write_csv(run / name, table)
    with_fits = runs.read_run(run)
    assert list(with_fits.fits.fold) == [0]
    runs.write_tables(run, runs.collect_fits(run, hashes), 2)
    (run / "fits").rename(tmp_path / "elsewhere")
    without = runs.read_run(run)
    for name in (*runs.RUN_TABLES, "summary"):
        one, other = getattr(with_fits, name), getattr(without, name)
        assert len(one) > 0
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=0, atol=1e-6)             # six digits
    assert without.summary.accuracy_mean[0] == pytest.approx(77 / 80)
    assert list(without.histories.member) == [0, 0] and list(without.histories.kept) == [1, 0]    # as of one network


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in ("one.csv.gz", "other.csv.gz"):
        write_csv(tmp_path / name, predictions())
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "other.csv.gz").read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one.csv.gz"), predictions())


def test_a_run_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(runs.RunError, match="no run here"):
        runs.read_run(tmp_path)
    (tmp_path / "config.json").write_text("{ half")
    with pytest.raises(runs.RunError, match="cannot be read"):
        runs.read_run(tmp_path)
    with pytest.raises(runs.RunError, match="no run 'nowhere'"):
        viz.find_run("nowhere", tmp_path)


def test_curves_of_the_reference_have_a_line_per_network():
    histories = pd.read_csv(ROOT / "reference/histories.csv.gz").query("model == 'cnn1d' and feature == 'mfcc'")
    figure = viz.training_curves(histories, 1 / 8)
    networks = histories.groupby(["fold", "member"]).ngroups
    for ax in figure.axes:
        thin = [line for line in ax.lines if line.get_linewidth() == 0.7]
        assert len(thin) == 2 * networks                                    # training and validation
        dots = next(line for line in ax.lines if line.get_marker() == "o")
        assert len(dots.get_xdata()) == networks


def test_a_clip_that_cannot_be_heard_is_named(demo, tmp_path):
    study = runs.read_run(demo[0] / "results/demo")
    fit = study.fits.query("model == 'dtw' and fold == 0").iloc[0]
    (tmp_path / "broken.wav").write_text("no sound")
    paths = pd.Series(str(tmp_path / "broken.wav"), study.clips.file)
    with pytest.raises(corpora.DataError, match="broken.wav: not readable"):
        viz.inputs_of_test_clips(study, fit, paths)


def test_a_run_of_machines_alone_has_no_curves_and_is_drawn(tmp_path):
    folder = tmp_path / "results/machines"
    shutil.copytree(ROOT / "reference", folder)
    (folder / "histories.csv.gz").unlink()
    for table in set(runs.RUN_TABLES.values()) - {"histories.csv.gz"}:
        rows = pd.read_csv(folder / table).query("model == 'svm' and feature == 'mfcc'")
        write_csv(folder / table, rows)
    done = run("viz.py", "--run", "machines", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    drawn = {path.name for path in (tmp_path / "visualizations").glob("*.png")}
    assert "confusion_mfcc_svm.png" in drawn and not any(name.startswith("curves") for name in drawn)
