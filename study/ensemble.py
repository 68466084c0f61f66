"""The ensemble of a study: the probabilities of the better half of a fold's fits, averaged with equal weights.

Better is a lower loss on the fold's own validation clips; the test clips have no say. It appears in every table as one
more row, feature "all", model "ensemble", where two or more experiments (feature and model) have finished the same
folds.
"""
import pandas as pd

from ser import metrics

NAME = ("all", "ensemble")             # feature, model
EXPERIMENT = ["feature", "model"]


def add_ensemble(tables):
    """The tables of a run (runs.RUN_TABLES) with the rows of the ensemble behind them."""
    fits = tables["fits"]
    experiments = fits.groupby(EXPERIMENT).fold.agg(set) if len(fits) else []
    if len(experiments) < 2 or len({frozenset(folds) for folds in experiments}) > 1:
        return tables
    ours, rows = {"predictions": [], "validation": []}, []
    for fold, own in fits.groupby("fold"):
        selected = select_members(tables["validation"].query("fold == @fold"))
        for part, averages in ours.items():
            rows_of_fold = tables[part].query("fold == @fold")
            averages.append(average_predictions(rows_of_experiments(rows_of_fold, selected)))
        own = rows_of_experiments(own, selected)
        rows.append(dict(feature=NAME[0], model=NAME[1], fold=fold, protocol=own.protocol.iloc[0],
                         **metrics.fit_metrics(ours["predictions"][-1], ours["validation"][-1]),
                         fit_seconds=own.fit_seconds.sum(), parameters=own.parameters.sum()))
    ours = {part: pd.concat(averages, ignore_index=True) for part, averages in ours.items()} | {
        "fits": pd.DataFrame(rows)}
    return tables | {name: pd.concat([tables[name], table], ignore_index=True) for name, table in ours.items()}


def select_members(validation):
    """Half of the experiments of a fold (rounded up, at least two): [(feature, model), ...], lowest loss first.

    validation : their predictions of the validation clips, a row per clip and experiment
    """
    losses = {experiment: metrics.calibrated_loss(rows) for experiment, rows in validation.groupby(EXPERIMENT)}
    return sorted(losses, key=losses.get)[:max(2, -(-len(losses) // 2))]


def rows_of_experiments(table, experiments):
    """The rows of these (feature, model) pairs."""
    return table[table.set_index(EXPERIMENT).index.isin(experiments)]


def average_predictions(rows):
    """One table of predictions from those of all fits of a fold, which hold the same clips."""
    columns = [name for name in rows if name.startswith("p_")]
    means = rows.groupby("file", sort=False)[columns].mean()
    table = rows.drop_duplicates("file").assign(feature=NAME[0], model=NAME[1])
    table[columns] = means.loc[table.file].round(6).to_numpy()
    return table.assign(predicted=means.loc[table.file].idxmax(axis=1).str.removeprefix("p_").to_numpy())
