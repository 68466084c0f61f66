"""The folder of a run: files written whole, fits collected, the summary, and the published run (reference/)."""
import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from commands import ROOT
from sounds import files_of

from ser.errors import UserError
from ser.files import write_atomically, write_csv, write_json
from study import ensemble, runs


# -- writing ---------------------------------------------------------------------------------------
def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "new folder" / "table.csv"
    with write_atomically(path) as partial:
        partial.write_text("old")
        assert partial.suffix == ".csv" and not path.exists()
    assert path.read_text() == "old"
    with pytest.raises(KeyboardInterrupt), write_atomically(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with write_atomically(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"
    assert files_of(tmp_path) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk at hand is Linux's alone")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ser.files.draft_path", lambda path: tmp_path / "draft")
    (tmp_path / "draft").symlink_to("/dev/full")            # where the temporary file is to be
    with pytest.raises(OSError, match=r"No space left.*'\S+/table\.csv'"):
        write_csv(tmp_path / "table.csv", pd.DataFrame({"a": [1]}))
    assert not list(tmp_path.iterdir())


def test_a_fit_appears_whole_and_replaces_an_older_one(tmp_path):
    folder = tmp_path / "fits" / runs.fit_name("mfcc", "mlp", 0)
    runs.write_fit(folder, {"metrics.json": "{}", "model.keras": b"bytes"})
    assert files_of(tmp_path) == [folder / "manifest.json", folder / "metrics.json", folder / "model.keras"]
    runs.write_fit(folder, {"metrics.json": '{"fit_id": "new"}'})
    assert files_of(tmp_path) == [folder / "manifest.json", folder / "metrics.json"]
    assert runs.read_metrics(folder) == {"fit_id": "new"}


def test_a_fit_that_cannot_be_written_leaves_the_older_one(tmp_path):
    folder = tmp_path / "mfcc-mlp-fold0"
    runs.write_fit(folder, {"metrics.json": '{"fit_id": "old"}'})
    with pytest.raises(OSError, match="mfcc-mlp-fold0/no folder/model.keras"):
        runs.write_fit(folder, {"no folder/model.keras": b"bytes"})
    assert runs.read_metrics(folder) == {"fit_id": "old"}


# -- reading ---------------------------------------------------------------------------------------
def test_metrics_of_a_fit_that_is_not_finished_are_none(tmp_path):
    assert runs.read_metrics(tmp_path / "nowhere") is None


METRICS = dict(feature="mfcc", model="mlp", fold=0, fit_id="now", protocol="p", validation_accuracy=0.5,
               temperature=1.0)
TABLE = "file,actor,true,predicted,p_sad\na.wav,01,sad,sad,1.0\nb.wav,=1,sad,sad,1.0\n"


@pytest.mark.parametrize("file, content", [
    ("predictions.csv", "file,actor,true,predicted,p_sad\na.wav,01,sad,sad,1.0\n"),        # cut between two lines
    ("validation_predictions.csv", None), ("metrics.json", json.dumps(dict(METRICS, fold=1)))])
def test_a_damaged_fit_enters_no_table_and_is_named(tmp_path, capsys, file, content):
    folder = tmp_path / "fits" / "mfcc-mlp-fold0"
    runs.write_fit(folder, {"metrics.json": json.dumps(METRICS), "predictions.csv": TABLE,
                            "validation_predictions.csv": TABLE})
    assert runs.finished_experiments(tmp_path) == {("mfcc", "mlp")}
    tables = runs.collect_fits(tmp_path, {"mfcc-mlp-fold0": "now"})
    assert len(tables["predictions"]) == 2 and not capsys.readouterr().err
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    assert runs.collect_fits(tmp_path, {"mfcc-mlp-fold0": "now"})["fits"].empty
    printed = capsys.readouterr().err
    assert re.search(rf"mfcc-mlp-fold0: damaged, so left out \({file}.*train.py trains it again", printed)
    assert runs.read_metrics(folder) is None and runs.finished_experiments(tmp_path) == set()


def test_fits_with_other_settings_are_left_out(tmp_path):
    runs.write_fit(tmp_path / "fits" / "mfcc-mlp-fold0", {"metrics.json": json.dumps(METRICS)})
    assert runs.collect_fits(tmp_path, {"mfcc-mlp-fold0": "other settings"})["fits"].empty


def test_a_run_in_another_format_is_not_read(tmp_path):
    write_json(tmp_path / "config.json", {"format": runs.FORMAT - 1})
    write_json(tmp_path / "environment.json", {})
    with pytest.raises(UserError, match="made by another version of this project"):
        runs.read_run(tmp_path)


# -- summary ---------------------------------------------------------------------------------------
def test_nothing_is_summarised_before_the_first_fit(tmp_path):
    tables = runs.collect_fits(tmp_path, {})
    assert runs.write_tables(tmp_path, tables, 5).empty and not list(tmp_path.iterdir())


def test_models_are_compared_with_the_one_that_validation_prefers():
    """Not with the one that tests best, and not with the ensemble."""
    rows, tables = [], []
    for feature, model, validation, test in (("mfcc", "mlp", 0.9, (0.5, 0.75)), ("mel", "mlp", 0.8, (1.0, 0.5)),
                                             (*ensemble.NAME, 0.99, (0.75, 1.0))):
        for fold, accuracy in enumerate(test):
            rows.append(dict(feature=feature, model=model, fold=fold, protocol=f"wording {fold}", parameters=1,
                             validation_accuracy=validation, accuracy=accuracy, uar=accuracy, weighted_f1=accuracy,
                             macro_f1=accuracy))
            predicted = np.where(np.arange(4) < 4 * accuracy, "sad", "calm")
            tables.append(pd.DataFrame(dict(feature=feature, model=model, fold=fold, actor=np.arange(4), true="sad",
                                            predicted=predicted)))
    summary = runs.summarise(pd.DataFrame(rows), pd.concat(tables), 2).set_index("feature")
    assert summary.p_against_best.isna().to_dict() == {"mfcc": True, "mel": False, "all": True}
    assert summary.accuracy_mean["all"] > summary.accuracy_mean["mfcc"]     # by a quarter in every fold
    assert len(summary) == 3 and (summary.folds == 2).all()                 # whatever the protocol was called


# -- the published run -----------------------------------------------------------------------------
@pytest.mark.parametrize("folder", ["reference", "reference/described"])
def test_the_published_runs_add_up(folder):
    """Accuracies are those of the predictions, every clip is tested once, no recording is in two parts of a member."""
    study, key = runs.read_run(ROOT / folder), ["feature", "model", "fold"]
    hits = study.predictions.assign(right=study.predictions.true == study.predictions.predicted)
    assert np.allclose(hits.groupby(key).right.mean(), study.fits.set_index(key).accuracy.sort_index(), atol=1e-6)
    for _, rows in study.predictions.groupby(["feature", "model"]):
        assert sorted(rows.file) == sorted(study.folds.file) and len(rows) == 1440
    assert study.predictions.merge(study.folds, on="file").eval("fold_x == fold_y and true == emotion").all()
    assert (study.folds.groupby("recording")[[f"split_{fold}" for fold in range(5)]].nunique() == 1).all(axis=None)
