"""The committee: the probabilities of all fits of a fold, averaged with equal weights.

Nothing is fitted, so nothing can be fitted to the test. It appears in every table as one more row, feature "all", model
"committee", where two or more experiments (feature and model) have finished the same folds.
"""
import pandas as pd

import scores

NAME = ("all", "committee")             # feature, model


def joined(tables):
    """The tables of a run (results.TABLES) with the rows of the committee behind them."""
    fits = tables["fits"]
    experiments = fits.groupby(["feature", "model"]).fold.agg(set) if len(fits) else []
    if len(experiments) < 2 or len({frozenset(folds) for folds in experiments}) > 1:
        return tables
    ours = {part: pd.concat([average(rows) for _, rows in tables[part].groupby("fold")], ignore_index=True)
            for part in ("predictions", "validation")}
    rows = []
    for fold, members in fits.groupby("fold"):
        own = {part: table[table.fold == fold] for part, table in ours.items()}
        rows.append(dict(feature=NAME[0], model=NAME[1], fold=fold, protocol=members.protocol.iloc[0],
                         **scores.of_fit(own["predictions"], own["validation"]),
                         fit_seconds=members.fit_seconds.sum(), parameters=members.parameters.sum()))
    ours["fits"] = pd.DataFrame(rows)
    return tables | {name: pd.concat([tables[name], table], ignore_index=True) for name, table in ours.items()}


def average(rows):
    """One table of predictions from those of all fits of a fold, which hold the same clips."""
    columns = [name for name in rows if name.startswith("p_")]
    means = rows.groupby("file", sort=False)[columns].mean()
    table = rows.drop_duplicates("file").assign(feature=NAME[0], model=NAME[1])
    table[columns] = means.loc[table.file].round(6).to_numpy()
    return table.assign(predicted=means.loc[table.file].idxmax(axis=1).str.removeprefix("p_").to_numpy())
