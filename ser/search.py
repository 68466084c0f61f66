"""Random search: what each trial tries, and what came out. The fits themselves: study/search.py.

Trial 0 is the settings as they are. The values of any other are drawn from a generator seeded by its number and the
setting's name, so trial k is the same however many there are, and whatever else is searched.
"""
import math

from ser import metrics, seeds
from ser.settings import Range

N_BEST = 5                      # trials that are shown


def draw(choices, rng):
    """A value out of a Range, to three digits, or out of a tuple."""
    if not isinstance(choices, Range):
        return choices[rng.integers(len(choices))]
    low, high, scale = choices
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if scale == "log" else rng.uniform(low, high)
    if isinstance(low, int) and isinstance(high, int):
        return min(max(round(value), low), high)
    return min(max(float(f"{value:.3g}"), low), high)


def trial_values(number, table, seed):
    """{setting: value} of a trial; {} of trial 0, which changes nothing. table : {setting: Range or tuple}"""
    return {name: draw(choices, seeds.generator(seed, "search", number, name))
            for name, choices in table.items()} if number else {}


def bounds(choices):
    """The values of a tuple; of a Range its ends."""
    return (choices.low, choices.high) if isinstance(choices, Range) else tuple(choices)


def validation_scores(table):
    """{"accuracy": share right, 0 to 1; "nll": mean negative log-likelihood, nats} of a table of predictions with the
    columns true, predicted, p_<class>."""
    return dict(accuracy=float((table.true == table.predicted).mean()),
                nll=metrics.cross_entropy(*metrics.probabilities_and_labels(table)))


def best_first(trials):
    """The table of trials, the highest mean accuracy first; of equal ones the lower loss."""
    return trials.sort_values(["accuracy", "nll", "trial"], ascending=[False, True, True])


def seed_spread(trials, columns):
    """The mean distance between the results of a trial's seeds, in `columns` of the table: how much chance there is."""
    return float((trials[columns].max(axis=1) - trials[columns].min(axis=1)).mean())
