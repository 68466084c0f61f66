"""The folder of a run: how its files are written, so that a stop at any moment harms nothing, and read back.

    results/<run>/  config.json environment.json clips.csv folds.csv
                    fits/<feature>-<model>-fold<k>/  manifest.json metrics.json predictions.csv model.keras svm.npz ...
                    summary.csv predictions.csv.gz histories.csv.gz      all finished fits together
"""
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from ser import metrics
from ser.errors import UserError
from ser.files import read_csv, write_csv
from ser.folders import NO_MANIFEST, clear_drafts, find_damage, write_folder
from study import ensemble

RUN_TABLES = {"fits": "fits.csv", "predictions": "predictions.csv.gz", "validation": "validation_predictions.csv.gz",
              "histories": "histories.csv.gz"}
FORMAT = 3                      # of a run folder; raised when what is in it changes
FIT_TABLES = {"predictions": "predictions.csv", "validation": "validation_predictions.csv", "histories": "history.csv"}


# -- a run -----------------------------------------------------------------------------------------
def fit_name(feature, model, fold):
    """Name of a fit's folder below fits/."""
    return f"{feature}-{model}-fold{fold}"


def write_fit(folder, files):
    """A finished fit, {file name: bytes or text}: appears whole, or not at all, and replaces an older one."""
    write_folder(folder, files)


def read_metrics(folder):
    """metrics.json of a finished fit; None where there is none, or where any of its files is damaged."""
    path = Path(folder) / "metrics.json"
    if not path.exists() or find_damage(folder):
        return None
    return json.loads(path.read_text())


def finished_experiments(run):
    """(feature, model) of the finished fits in the folder of a run: a set."""
    return {(fit["feature"], fit["model"]) for fit in checked_fits(run).values() if isinstance(fit, dict)}


def checked_fits(run):
    """{folder: metrics, or what is wrong with it (str)} of the fits in the folder of a run. Their tables are looked at;
    models are checked where they are loaded (study/inference.py)."""
    parent, fits = Path(run) / "fits", {}
    if parent.exists():
        clear_drafts(parent)
    for folder in sorted(parent.glob("[!.]*")):
        names = ["metrics.json", *FIT_TABLES.values()]
        damage = find_damage(folder, names) and find_damage(folder, names)      # once more: it may just be replaced
        fits[folder] = damage or json.loads((folder / "metrics.json").read_text())
    return fits


def collect_fits(run, fit_ids):
    """Tables of the finished fits below run/fits, and of the ensemble they make: see RUN_TABLES.

    fit_ids : {name of a fit's folder: its id}; fits made with other settings are left out, and so are damaged ones,
              with a line on standard error
    """
    tables = {name: [] for name in RUN_TABLES}
    for folder, fit in checked_fits(run).items():
        if isinstance(fit, str):
            what = "made by an earlier version" if fit == NO_MANIFEST else "damaged"
            print(f"{folder}: {what}, so left out ({fit}); train.py trains it again", file=sys.stderr)
            continue
        if fit.get("fit_id") != fit_ids.get(folder.name, "none"):
            continue
        tables["fits"].append(pd.DataFrame([fit]))
        for name, file in FIT_TABLES.items():
            if not (folder / file).exists():                    # SVMs have no history
                continue
            table = read_csv(folder / file)
            for column, key in enumerate(("feature", "model", "fold")):
                table.insert(column, key, fit[key])
            tables[name].append(table)
    tables = {name: pd.concat(rows, ignore_index=True) if rows else pd.DataFrame() for name, rows in tables.items()}
    return ensemble.add_ensemble(tables)


def summarise(fits, predictions, folds):
    """One row per feature and model, sorted best first.

    fits, predictions : as in `collect_fits`; folds : how many the protocol has
    returns : mean and standard deviation over folds (n - 1) of the metrics; accuracy_low, accuracy_high, the 95 %
              interval by bootstrap over actors; p_against_best of Nadeau and Bengio's test against the model with the
              best validation accuracy (the ensemble apart), NaN for itself; means over folds of the rest
    """
    if fits.empty:
        return pd.DataFrame()
    key, rows = ["feature", "model"], []
    clips = dict(list(predictions.groupby(key)))
    by_fold = fits.set_index("fold").sort_index().groupby(key)
    best = by_fold.validation_accuracy.mean().drop(ensemble.NAME, errors="ignore").idxmax()
    reference = by_fold.get_group(best).accuracy
    for names, group in fits.groupby(key):
        row = dict(zip(key, names), protocol=group.protocol.iloc[-1], folds=len(group))
        for name in metrics.METRICS:
            row[f"{name}_mean"], row[f"{name}_std"] = group[name].mean(), group[name].std()
        own = clips[tuple(names)]
        row["accuracy_low"], row["accuracy_high"] = metrics.speaker_bootstrap_ci(own.true == own.predicted, own.actor)
        both = pd.concat([group.set_index("fold").accuracy, reference], axis=1, join="inner").to_numpy()
        row["p_against_best"] = np.nan if tuple(names) == best else metrics.corrected_t_test(*both.T, folds)
        means = {"validation_accuracy", "fit_seconds", "epochs", "best_epoch", *metrics.CALIBRATION} & set(group)
        row.update(parameters=int(group.parameters.iloc[0]), **{name: group[name].mean() for name in sorted(means)})
        rows.append(row)
    return pd.DataFrame(rows).sort_values("accuracy_mean", ascending=False, ignore_index=True)


def write_tables(run, tables, folds):
    """The finished fits together, in the run's own folder: what viz.py needs when the fits are not there."""
    summary = summarise(tables["fits"], tables["predictions"], folds)
    if not summary.empty:
        write_csv(run / "summary.csv", summary.round(6))
        for name, file in RUN_TABLES.items():
            if tables[name].empty:                              # no histories: SVMs alone
                (run / file).unlink(missing_ok=True)
            else:
                write_csv(run / file, tables[name].round(6))
    return summary


def read_run(folder):
    """A run, finished or not, or `reference/`: namespace of config and environment (dicts) and the tables clips, folds,
    fits, predictions, validation, histories, summary. Tables of fits are empty when none is finished.

    raises : UserError
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise UserError(f"{folder}: no run here (config.json is missing); make one with train.py, "
                        "or try --run reference")
    try:
        config, environment = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "environment"))
        if config.get("format") != FORMAT:
            raise UserError(f"{folder}: made by another version of this project; train it again, or give --run another "
                            "name")
        clips, folds = (read_csv(folder / name) for name in ("clips.csv", "folds.csv"))
        if (folder / "fits").exists():
            tables = collect_fits(folder, config["fit_ids"])
        else:
            tables = {name: read_csv(folder / file) if (folder / file).exists() else pd.DataFrame()
                      for name, file in RUN_TABLES.items()}
    except UserError:
        raise
    except (OSError, ValueError, KeyError) as problem:
        raise UserError(f"{folder}: this run cannot be read ({problem})") from problem
    if tables["histories"].empty:                               # SVMs alone
        tables["histories"] = pd.DataFrame(columns=["feature", "model", "fold", "member", "kept"])
    return SimpleNamespace(folder=folder, config=config, environment=environment, clips=clips, folds=folds,
                           summary=summarise(tables["fits"], tables["predictions"], config["n_folds"]), **tables)


def missing_fits(run):
    """What train.py was asked for last and has not finished: how many fits, and ["mfcc-cnn1d fold 3 4", ...]."""
    plan, done = run.config, set()
    asked = plan.get("asked") or plan | {"folds": range(plan["n_folds"])}       # nothing of it: an older run, in full
    if len(run.predictions):
        done = set(run.predictions[["feature", "model", "fold"]].itertuples(index=False, name=None))
    count, lines = 0, []
    for model in asked["models"]:
        for feature in asked["features"]:
            left = [str(fold) for fold in asked["folds"] if (feature, model, fold) not in done
                    and fit_name(feature, model, fold) in plan["fit_ids"]]
            count += len(left)
            if left:
                which = "all folds" if len(left) == plan["n_folds"] > 1 else f"fold {' '.join(left)}"
                lines.append(f"{feature}-{model} {which}")
    return count, lines
