"""The ensemble of a study: a weighted mean of the probabilities of a fold's fits.

The weights are learnt on the fold's own validation clips, each predicted out of fold; the test clips have no say. The
ensemble appears in every table as one more row, feature "all", model "ensemble", where two or more experiments (feature
and model) have finished the same folds.

Ensemble selection (Caruana et al., "Ensemble selection from libraries of models", 2004): from nothing, the experiment
that lowers the loss of the mean most is added, again and again, the same one perhaps; its weight is how often. On a few
hundred clips that is repeated for random halves of the experiments (bags), and the weights are averaged.
"""
import numpy as np
import pandas as pd

from ser import metrics

NAME = ("all", "ensemble")             # feature, model
EXPERIMENT = ["feature", "model"]
N_BAGS, N_STEPS = 20, 12
MIN_WEIGHT = 0.02                       # experiments with less are left out: a model more to keep for next to nothing
TEMPERATURES = np.geomspace(0.25, 1.5, 10)      # a mean is judged at the best of these


def add_ensemble(tables):
    """The tables of a run (runs.RUN_TABLES) with the rows of the ensemble behind them."""
    fits = tables["fits"]
    experiments = fits.groupby(EXPERIMENT).fold.agg(set) if len(fits) else []
    if len(experiments) < 2 or len({frozenset(folds) for folds in experiments}) > 1:
        return tables
    ours, rows = {"predictions": [], "validation": []}, []
    for fold, own in fits.groupby("fold"):
        weights = ensemble_weights(tables["validation"].query("fold == @fold"))
        for part, averages in ours.items():
            averages.append(average_predictions(tables[part].query("fold == @fold"), weights))
        own = rows_of_experiments(own, weights)
        rows.append(dict(feature=NAME[0], model=NAME[1], fold=fold, protocol=own.protocol.iloc[0],
                         **metrics.fit_metrics(ours["predictions"][-1], ours["validation"][-1]),
                         fit_seconds=own.fit_seconds.sum(), parameters=own.parameters.sum()))
    ours = {part: pd.concat(averages, ignore_index=True) for part, averages in ours.items()} | {
        "fits": pd.DataFrame(rows)}
    return tables | {name: pd.concat([tables[name], table], ignore_index=True) for name, table in ours.items()}


def ensemble_weights(validation):
    """Weights of the experiments of a fold: {(feature, model): weight}, highest first, sum 1.

    validation : their predictions of the validation clips, a row per clip and experiment
    """
    by_experiment = {name: rows.sort_values("file") for name, rows in validation.groupby(EXPERIMENT)}
    parts = [metrics.probabilities_and_labels(rows) for rows in by_experiment.values()]
    probabilities, labels = np.stack([part[0] for part in parts]), parts[0][1]        # (experiments, clips, classes)
    size, counts = min(len(parts), max(2, -(-len(parts) // 2))), np.zeros(len(parts))
    rng = np.random.default_rng(0)
    for _ in range(N_BAGS):
        bag = np.sort(rng.choice(len(parts), size, replace=False))
        counts[bag] += select_greedily(probabilities[bag], labels)
    shares = counts / counts.sum()
    shares = np.where(shares < min(MIN_WEIGHT, shares.max()), 0, shares)
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    names = list(by_experiment)
    return {names[k]: float(shares[k]) for k in order if shares[k] > 0}


def select_greedily(probabilities, labels):
    """How often each experiment is taken: (experiments, clips, classes), labels (clips,) -> int (experiments,)."""
    counts, total = np.zeros(len(probabilities), int), 0
    for step in range(1, N_STEPS + 1):
        losses = losses_at_best_temperature((total + probabilities) / step, labels)
        best = losses.argmin()
        counts[best], total = counts[best] + 1, total + probabilities[best]
    return counts


def losses_at_best_temperature(probabilities, labels):
    """Cross-entropy (nats) of each of some predictions, (experiments, clips, classes), at the best of TEMPERATURES."""
    logs = np.log(np.maximum(probabilities, 1e-7))
    best = np.full(len(logs), np.inf)
    for temperature in TEMPERATURES:
        scaled = logs / temperature
        right = np.take_along_axis(scaled, labels[None, :, None], axis=2)[..., 0]
        best = np.minimum(best, np.mean(np.log(np.exp(scaled).sum(axis=2)) - right, axis=1))
    return best


def rows_of_experiments(table, experiments):
    """The rows of these (feature, model) pairs."""
    return table[table.set_index(EXPERIMENT).index.isin(list(experiments))]


def average_predictions(rows, weights):
    """One table of predictions from those of a fold's fits, which hold the same clips; weights: `ensemble_weights`."""
    columns, rows = [name for name in rows if name.startswith("p_")], rows_of_experiments(rows, weights)
    own = rows.set_index(EXPERIMENT).index.map(weights).to_numpy()
    sums = rows[columns].mul(own, axis=0).groupby(rows.file, sort=False).sum()
    table = rows.drop_duplicates("file").assign(feature=NAME[0], model=NAME[1])
    table[columns] = sums.loc[table.file].round(6).to_numpy()
    return table.assign(predicted=sums.loc[table.file].idxmax(axis=1).str.removeprefix("p_").to_numpy())
