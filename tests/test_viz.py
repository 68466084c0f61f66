"""Runs in every state of completion, drawn by the real command, and what viz.py reads."""
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from commands import HANG_SECONDS, ROOT, UNNOISY

import config
import viz
from ser import metrics
from ser.errors import UserError
from ser.files import write_csv, write_json
from study import runs

CLASSES = config.CLASSES
LABELS = {"mfcc": "MFCC", "mel": "Mel spectrogram", "cnn1d": "1-D CNN", "mlp": "MLP", "all": "All features",
          "ensemble": "Ensemble"}
PLAN = {"features": ["mfcc", "mel"], "models": ["cnn1d", "mlp"], "n_folds": 2, "fit_ids": {
    f"{feature}-{model}-fold{fold}": "id" for feature in ("mfcc", "mel") for model in ("cnn1d", "mlp")
    for fold in range(2)}}
TOY = '''
def toy(run):
    """A figure that the project does not know."""
    figure = plots.new_figure("A toy", 3, 2)
    figure.subplots().plot(range(len(run.clips)))
    return figure


'''
TOY_ROW = '"toy": Figure(toy, "A line that <rises>.", "Chance: {chance:.1f} %."),'


def predictions(feature="mfcc", model="cnn1d", fold=0):
    """Ten clips of each emotion; of `happy` three are taken for `angry`, everything else is right; all at 60 %."""
    true = np.repeat(CLASSES, 10)
    predicted = true.copy()
    predicted[20:23] = "angry"
    table = pd.DataFrame(dict(feature=feature, model=model, fold=fold, file=[f"{k}.wav" for k in range(80)],
                              actor=np.arange(80) % 4 + 1, true=true, predicted=predicted))
    return table.assign(**{f"p_{name}": np.where(predicted == name, 0.6, 0.4 / 7) for name in CLASSES})


def copy_reference(folder, model="svm", feature="mfcc"):
    """The run in reference/ with the fits of one SVM alone."""
    shutil.copytree(ROOT / "reference", folder)
    (folder / "histories.csv.gz").unlink()
    for table in set(runs.RUN_TABLES.values()) - {"histories.csv.gz"}:
        rows = pd.read_csv(folder / table)
        write_csv(folder / table, rows[(rows.model == model) & (rows.feature == feature)])
    return folder


# -- the command -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A copy of the project with one more figure in viz.py and a run of SVMs alone, which the command has drawn."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("ser", "study"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ROOT.glob("*.py"):
        shutil.copy(script, folder)
    copy_reference(folder / "reference")
    code = (folder / "viz.py").read_text()
    before_table, table = "# -- the table of figures", "FIGURES = {\n"
    assert code.count(before_table) == code.count(table) == 1
    code = code.replace(before_table, TOY + before_table).replace(table, f"{table}    {TOY_ROW}\n")
    (folder / "viz.py").write_text(code)
    done = subprocess.run([sys.executable, "viz.py", "--run", "reference"], cwd=folder, env=UNNOISY, text=True,
                          capture_output=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_figure_is_its_function_and_its_row(drawn):
    folder, _ = drawn
    page = (folder / "visualizations/report.html").read_text()
    assert (folder / "visualizations/toy.png").stat().st_size > 1000
    assert "A line that &lt;rises&gt;." in page
    assert "Chance: 12.5 %." in (folder / "visualizations/toy.svg").read_text()


def test_a_run_of_svms_alone_has_no_curves_and_is_drawn(drawn):
    folder, _ = drawn
    pictures = {path.name for path in (folder / "visualizations").glob("*.png")}
    assert pictures == {"toy.png", "data_statistics.png", "comparison.png", "reliability.png", "per_emotion.png",
                        "per_actor.png", "subgroups.png", "confusion.png", "confusion_mfcc_svm.png"}
    for name in pictures:
        text = (folder / "visualizations" / name.replace(".png", ".svg")).read_text()
        assert "<svg" in text and "Run reference, data RAVDESS speech." in text
        assert ("stratified" in text) == (name not in ("toy.png", "data_statistics.png"))


def test_the_command_prints_what_it_wrote_and_what_it_did_not(drawn):
    folder, printed = drawn
    *paths, report, absent, missing = printed.splitlines()
    assert {(folder / path).name for path in paths} == {path.name for path in folder.glob("visualizations/*.png")}
    assert report.endswith("report.html") and (folder / report).exists()
    assert absent.startswith("not drawn: example_features; reference has no up-to-date examples.npz, ")
    assert missing.startswith("unfinished run, drawn as far as it is; 95 fits are missing: mfcc-cnn1d all folds, ")


def test_drawing_loads_neither_audio_nor_networks():
    done = subprocess.run([sys.executable, "-c", "import sys, viz; print(*sys.modules)"], cwd=ROOT, text=True,
                          capture_output=True, timeout=HANG_SECONDS)
    loaded = set(done.stdout.split())
    assert "viz" in loaded and not loaded & {"tensorflow", "keras", "librosa", "soundfile", "features",
                                             "data_preprocessing", "predict", "ser.corpora", "ser.demo_corpus"}


# -- what is drawn ---------------------------------------------------------------------------------
def test_missing_fits_are_counted_and_named():
    run = SimpleNamespace(config=PLAN, predictions=pd.concat([predictions(), predictions("mel", "mlp", 1)]))
    count, lines = runs.missing_fits(run)
    assert count == 6
    assert set(lines) == {"mfcc-cnn1d fold 1", "mel-cnn1d all folds", "mfcc-mlp all folds", "mel-mlp fold 0"}
    run.config = PLAN | {"fit_ids": {name: "id" for name in PLAN["fit_ids"] if not name.startswith("mel-cnn1d")}}
    assert runs.missing_fits(run)[0] == 4                               # a model that does not take the feature


def test_only_fits_that_were_asked_for_are_missing():
    """As of `train.py --models cnn1d`, which plans all models, so that they can be added."""
    asked = dict(features=["mfcc", "mel"], models=["cnn1d"], folds=[0, 1])
    run = SimpleNamespace(config=PLAN | {"asked": asked}, predictions=predictions())
    assert runs.missing_fits(run) == (3, ["mfcc-cnn1d fold 1", "mel-cnn1d all folds"])
    run.config["asked"] = asked | {"folds": [0]}
    assert runs.missing_fits(run) == (1, ["mel-cnn1d fold 0"])
    run.config["asked"] = asked | {"features": ["mfcc"], "folds": [0]}
    assert runs.missing_fits(run) == (0, [])


def test_an_explanation_is_absent_only_where_a_network_could_have_it():
    models = {"cnn1d": dict(input="frames", epochs=5), "mlp": dict(input="functionals", epochs=5),
              "svm": dict(input="functionals", epochs=None), "dtw": dict(input="frames", epochs=None)}

    def absent(*fitted, artefacts=()):
        run = SimpleNamespace(config={"settings": {"MODELS": models}}, fits=pd.DataFrame({"model": fitted}),
                              artefacts=dict.fromkeys(artefacts))
        return [name for name, row in viz.FIGURES.items() if viz.is_absent(row, run)]
    assert absent("svm", "dtw", "ensemble") == absent() == ["example_features"]
    assert absent("cnn1d", "svm", artefacts=["examples.npz"]) == ["occlusion", "tsne"]
    assert absent("mlp", "dtw", artefacts=["examples.npz"]) == ["permutation_importance"]
    assert absent("mlp", artefacts=["examples.npz", "permutation_importance.csv"]) == []


def test_rows_are_in_the_planned_order():
    table = pd.concat([predictions(feature, model, fold) for fold in (1, 0) for feature, model in (
        ("all", "ensemble"), ("mel", "mlp"), ("mel", "cnn1d"), ("mfcc", "mlp"))])
    found = viz.in_order(table, PLAN)[["feature", "model", "fold"]].drop_duplicates()
    assert [*found.itertuples(index=False, name=None)] == [
        (feature, model, fold) for feature, model in (
            ("mel", "cnn1d"), ("mfcc", "mlp"), ("mel", "mlp"), ("all", "ensemble")) for fold in (0, 1)]


def test_small_print_counts_the_folds_of_what_is_in_the_figure():
    table = pd.concat([predictions(), predictions(fold=1), predictions("mel", "mlp")])
    settings = PLAN | dict(data="{mine}", protocol="p %s {0}")          # text of the user is not a template
    run = SimpleNamespace(folder=ROOT / "runs{}", config=settings, predictions=table, chance=1 / 8, artefacts={})
    begin = "Run runs{}, data {mine}. p %s {0}; "
    for suffix, counted in (("", "1 to 2"), ("mfcc_cnn1d", "2"), ("mel_mlp", "1"), ("mlp", "1")):
        row = viz.Figure(None, "", "Chance is {chance:.1f}.", "predictions")
        assert viz.footnote(run, row, suffix) == f"{begin}{counted} of 2 folds finished. Chance is 12.5."


def test_actors_and_subgroups_are_apart():
    """Actors 1 and 3 are men; all mistakes are clips 20 to 22, of actors 1, 2 and 3."""
    clips = pd.DataFrame(dict(file=[f"{k}.wav" for k in range(80)], actor=np.arange(80) % 4 + 1,
                              sex=["male", "female"] * 40, statement=1, intensity=["normal"] * 40 + ["strong"] * 40))
    run = SimpleNamespace(clips=clips, predictions=predictions(), labels=LABELS, chance=1 / 8,
                          config={"classes": list(CLASSES)})
    women, men = viz.per_actor(run).axes[:2]
    assert [label.get_text() for label in women.get_yticklabels()] == ["2", "4"]
    assert women.get_title() == "2 women, mean 97.5 %" and men.get_title() == "2 men, mean 95.0 %"
    assert men.images[0].get_array().tolist() == [[95, 95], [95, 95]]           # the model, and the mean of the columns
    sex, intensity = viz.subgroups(run).axes[:2]                                # one statement: nothing to compare
    assert sex.images[0].get_array().tolist() == [[97.5, 95]] and intensity.get_title() == "intensity"
    assert [text.get_text() for text in intensity.texts] == ["92.5", "100.0"]
    run.clips = clips[["file", "actor"]]
    assert viz.subgroups(run) is None and viz.per_actor(run).axes[0].get_title() == "4 actors, mean 96.2 %"


# -- artefacts -------------------------------------------------------------------------------------
@pytest.fixture
def explained(tmp_path):
    """A run of SVMs alone with artefacts as study/explain.py writes them, said to be of its first fit."""
    folder = copy_reference(tmp_path / "run")
    fit = pd.read_csv(folder / "fits.csv").iloc[0]
    origin = dict(feature="mel", model="hybrid", fold=0, fit_id=fit.fit_id)
    rng = np.random.default_rng(0)
    np.savez(folder / "examples.npz", emotions=["sad", "happy"], files=["a.wav", "b.wav"], lengths=[[3, 5]] * 2,
             axes=["band", "coefficient"], mel=rng.random((2, 5, 6)), mfcc=rng.random((2, 5, 4)))
    np.savez(folder / "occlusion.npz", **origin, emotions=["sad", "happy"], files=["a.wav", "b.wav"], lengths=[3, 5],
             inputs=rng.random((2, 5, 6)), falls=rng.random((2, 5, 6)), hop_seconds=0.5, patch_frames=8,
             patch_fraction=0.125, predicted=["sad", "sad"], axis="band")
    write_csv(folder / "tsne.csv", pd.DataFrame(dict(file=["a.wav", "b.wav"], actor=[1, 2], true=["sad", "happy"],
                                                     x=[0.0, 1.0], y=[2.0, 3.0], **origin)))
    write_csv(folder / "permutation_importance.csv", pd.DataFrame(dict(
        functional=["mean", "mean", "max", "max"], repeat=[0, 1, 0, 1], fall=[0.1, 0.3, 0.0, 0.5], **origin)))
    return folder


@pytest.fixture
def artefact_figures(explained, monkeypatch):
    """() -> {file stem: figure} of what viz.py draws of the artefacts alone."""
    monkeypatch.setattr(viz, "FIGURES", {name: row for name, row in viz.FIGURES.items() if row.needs})
    return lambda: {stem: figure for stem, figure, _ in viz.draw_figures(viz.load_run(explained))}


def test_artefacts_are_drawn(artefact_figures):
    figures = artefact_figures()
    assert list(figures) == ["example_features", "occlusion", "tsne", "permutation_importance"]
    protocol = "5-fold stratified by emotion, speaker-dependent"
    notes = {stem: figure.get_supxlabel().replace("\n", " ") for stem, figure in figures.items()}
    assert all((protocol in note) == (stem != "example_features") for stem, note in notes.items())
    assert "Clips: a.wav, b.wav." in notes["example_features"] and "Clips: a.wav, b.wav, of each" in notes["occlusion"]
    titles = [ax.get_title("left") for ax in figures["occlusion"].axes[:4:2]]
    assert titles == ["sad", "happy, classified as sad"]
    assert "patches of 8 frames and 12.5% of the rows" in notes["occlusion"]
    assert figures["tsne"].get_suptitle().endswith("Hybrid, Mel spectrogram, fold 0")
    clip = figures["occlusion"].axes[0].images[0]
    assert clip.get_extent() == [-0.25, 1.25, -0.5, 5.5] and clip.get_array().shape == (6, 3)    # real frames alone
    titles = [ax.get_title() for ax in figures["example_features"].axes[:2]]
    assert titles == ["MFCC", "Mel spectrogram"]                                                # in the planned order
    mfcc = figures["example_features"].axes[2].images[0]
    assert mfcc.get_array().shape == (4, 5) and mfcc.get_extent()[1] == pytest.approx(4.5 * 512 / 22_050)
    bars = figures["permutation_importance"].axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([20, 25])


def test_occlusion_of_an_earlier_version_is_drawn(explained, artefact_figures):
    """It had correctly classified clips alone, and did not say what its columns are."""
    with np.load(explained / "occlusion.npz") as arrays:
        stored = {name: array for name, array in arrays.items() if name not in ("predicted", "axis")}
    np.savez(explained / "occlusion.npz", **stored)
    axes = artefact_figures()["occlusion"].axes
    assert [ax.get_title("left") for ax in axes[:4:2]] == ["sad", "happy"]


def test_artefacts_of_an_older_fit_are_not_drawn(explained, artefact_figures):
    fits = pd.read_csv(explained / "fits.csv")
    fits.loc[0, "fit_id"] = "0123456789abcdef"
    write_csv(explained / "fits.csv", fits)
    assert list(artefact_figures()) == ["example_features"]          # which is of no fit


def test_occlusion_of_no_clip_is_not_drawn(explained, artefact_figures):
    with np.load(explained / "occlusion.npz") as arrays:
        stored = {name: array[:0] if array.ndim else array for name, array in arrays.items()}
    np.savez(explained / "occlusion.npz", **stored)
    assert "occlusion" not in artefact_figures()


@pytest.mark.parametrize("name", ["examples.npz", "occlusion.npz", "tsne.csv"])
def test_a_damaged_artefact_is_named(explained, name):
    content = (explained / name).read_bytes()
    for damage in (content[:len(content) // 2] if name.endswith(".npz") else b"", b"\x00\xff no data"):
        (explained / name).write_bytes(damage)
        with pytest.raises(UserError, match=f"{name}: damaged"):
            viz.load_run(explained)


# -- what is read ----------------------------------------------------------------------------------
def test_a_run_is_read_alike_with_and_without_its_fits(tmp_path):
    """reference/ has the collected tables only; fits made with other settings are left out of both."""
    run = tmp_path / "run"
    table = predictions().drop(columns=["feature", "model", "fold"])
    for fold, fit_id in ((0, "now"), (1, "before")):
        row = dict(feature="mfcc", model="cnn1d", fold=fold, protocol="p", fit_id=fit_id, fit_seconds=1.0,
                   parameters=5, epochs=2, best_epoch=1, **metrics.fit_metrics(table, table))
        runs.write_fit(run / "fits" / runs.fit_name("mfcc", "cnn1d", fold), {
            "metrics.json": json.dumps(row), "predictions.csv": table.to_csv(index=False),
            "validation_predictions.csv": table.to_csv(index=False),
            "history.csv": "member,epoch,loss,kept\n0,1,0.5,1\n0,2,0.4,0\n"})
    fit_ids = {runs.fit_name("mfcc", "cnn1d", fold): "now" for fold in (0, 1)}
    write_json(run / "config.json", {"format": runs.FORMAT, "fit_ids": fit_ids, "n_folds": 2})
    write_json(run / "environment.json", {"python": "3"})
    for name in ("clips.csv", "folds.csv"):
        write_csv(run / name, table)
    with_fits = runs.read_run(run)
    assert list(with_fits.fits.fold) == [0]
    runs.write_tables(run, runs.collect_fits(run, fit_ids), 2)
    (run / "fits").rename(tmp_path / "elsewhere")
    without = runs.read_run(run)
    for name in (*runs.RUN_TABLES, "summary"):
        one, other = getattr(with_fits, name), getattr(without, name)
        assert len(one) > 0
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=0, atol=1e-6)             # six digits
    assert without.summary.accuracy_mean[0] == pytest.approx(77 / 80)
    assert list(without.histories.member) == [0, 0] and list(without.histories.kept) == [1, 0]


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in ("one.csv.gz", "other.csv.gz"):
        write_csv(tmp_path / name, predictions())
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "other.csv.gz").read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one.csv.gz"), predictions())


def test_a_run_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="no run here"):
        runs.read_run(tmp_path)
    (tmp_path / "config.json").write_text("{ half")
    with pytest.raises(UserError, match="cannot be read"):
        runs.read_run(tmp_path)
    with pytest.raises(UserError, match="no run 'nowhere'"):
        viz.find_run("nowhere", tmp_path)
