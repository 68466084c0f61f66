"""Accuracy, confidence intervals, tests, calibration: pure functions of predictions; shares lie between 0 and 1."""
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import t as student
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ser.names import in_order
from ser.seeds import generator

METRICS = ("accuracy", "uar", "weighted_f1", "macro_f1")
CALIBRATION = ("temperature", "calibration_error", "calibration_error_after")
N_BOOTSTRAP = 10_000        # draws
BINS = 15                   # of the calibration error
TARGET_ACCURACY = 2 / 3     # what is expected to be right less often is called unsure
ROUNDING = 1e-9             # shares that differ by less are the same
MIN_PROBABILITY = 1e-7      # floor under a probability before its logarithm


def classification_metrics(true, predicted):
    """The four numbers of a fit, from class names or indices (clips,)."""
    return dict(accuracy=accuracy_score(true, predicted), uar=balanced_accuracy_score(true, predicted),
                weighted_f1=f1_score(true, predicted, average="weighted"),
                macro_f1=f1_score(true, predicted, average="macro"))


def fit_metrics(test, validation):
    """All numbers of a fit, from its tables of predictions with columns true, predicted, p_<class>.

    The temperature is chosen on the validation clips; the calibration error is that of the test clips.
    """
    temperature = fit_temperature(*probabilities_and_labels(validation))
    right, (p, _) = (test.true == test.predicted).to_numpy(), probabilities_and_labels(test)
    return dict(**classification_metrics(test.true, test.predicted),
                validation_accuracy=float((validation.true == validation.predicted).mean()), temperature=temperature,
                calibration_error=calibration_error(p, right),
                calibration_error_after=calibration_error(apply_temperature(p, temperature), right))


def probabilities_and_labels(table):
    """Probabilities (clips, classes) and true labels int (clips,) of a table with columns true and p_<class>."""
    columns = [name for name in table if name.startswith("p_")]
    return table[columns].to_numpy(), table.true.map({name[2:]: k for k, name in enumerate(columns)}).to_numpy()


def speaker_bootstrap_ci(correct, actors, level=0.95):
    """Percentile bootstrap of the accuracy over actors, who are drawn whole: (low, high); NaN of a single actor.

    correct : bool (clips,); actors : (clips,), who speaks. Clips of one voice are right or wrong together, so an
    interval over clips would be too narrow (cluster bootstrap; Efron & Tibshirani, 1993).
    """
    actor, times = draw_speakers(actors)
    if times is None:
        return np.nan, np.nan
    right, clips = np.bincount(actor, np.asarray(correct, float)), np.bincount(actor)
    return percentile_interval(times @ right / (times @ clips), level)


def speaker_bootstrap_f1_ci(true, predicted, actors, level=0.95):
    """The same of the weighted F1, all clips of a draw pooled: (low, high); true, predicted : class names (clips,)."""
    actor, times = draw_speakers(actors)
    if times is None:
        return np.nan, np.nan
    true, predicted = np.asarray(true)[:, None], np.asarray(predicted)[:, None]                 # (clips, 1)
    classes = np.unique(true)

    def count(mask):                                    # (clips, classes) -> (draws, classes)
        return times @ np.stack([np.bincount(actor, column) for column in mask.T], axis=1)

    of_true, of_predicted = count(true == classes), count(predicted == classes)
    f1 = 2 * count((true == classes) & (predicted == classes)) / np.maximum(of_true + of_predicted, 1)
    return percentile_interval((f1 * of_true).sum(axis=1) / of_true.sum(axis=1), level)


def draw_speakers(actors):
    """Who each clip is of, int (clips,), and how often each actor is drawn, (draws, actors); None of a single actor."""
    number = {name: k for k, name in enumerate(in_order(actors))}
    actor, n = np.array([number[name] for name in actors]), len(number)
    if n < 2:
        return actor, None
    return actor, generator(0, "bootstrap over actors").multinomial(n, np.full(n, 1 / n), N_BOOTSTRAP)


def percentile_interval(values, level):
    """(low, high) that hold the middle share `level` of the values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def corrected_t_test(a, b, folds):
    """Two-sided p of equal accuracy, from `a` and `b` on the same folds of a `folds`-fold cross-validation.

    Training sets overlap, so fold differences are not independent: their variance is taken 1/k + test/train times
    instead of 1/k (Nadeau & Bengio, "Inference for the generalization error", 2003). NaN below two folds, and where
    every fold differs by the same amount, which says nothing about how much it could vary; 1 where that is 0.
    """
    difference = np.asarray(a, float) - np.asarray(b, float)
    k = len(difference)
    if k < 2:
        return np.nan
    if np.ptp(difference) < ROUNDING:
        return 1.0 if abs(difference.mean()) < ROUNDING else np.nan
    variance = difference.var(ddof=1) * (1 / k + 1 / (folds - 1))
    return float(2 * student.sf(abs(difference.mean()) / np.sqrt(variance), k - 1))


def format_p(p):
    """"0.03", or "<0.01" for what would round to nothing."""
    return f"{p:.2f}" if p >= 0.005 else "<0.01"


def format_mean(mean, std):
    """"72.1 ± 1.6", per cent, of fractions; of a single fold, whose deviation is NaN, "72.1"."""
    return f"{100 * mean:.1f} ± {100 * std:.1f}" if np.isfinite(std) else f"{100 * mean:.1f}"


def format_interval(low, high):
    """"72.1 to 80.3" in per cent; "" where there is none."""
    return "" if np.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"


# -- calibration -----------------------------------------------------------------------------------
def fit_temperature(probabilities, labels):
    """The temperature that makes the labels likeliest: probabilities (clips, classes), labels int (clips,).

    Guo et al., "On calibration of modern neural networks", 2017. Above 1 the net was too sure, below 1 not enough.
    """
    def loss(log_temperature):
        return cross_entropy(apply_temperature(probabilities, np.exp(log_temperature)), labels)
    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def cross_entropy(probabilities, labels):
    """Mean of -ln of the probability of the true class, in nats."""
    return float(-np.log(probabilities[np.arange(len(labels)), labels].clip(MIN_PROBABILITY)).mean())


def apply_temperature(probabilities, temperature):
    """Probabilities (clips, classes) at a temperature; the order of the classes stays."""
    return softmax(np.log(np.clip(probabilities, MIN_PROBABILITY, 1)) / temperature, axis=-1)


def reliability_curve(probabilities, correct, bins=BINS):
    """Of the clips in each of equally wide bins of confidence: (confidence, share right, number of clips)."""
    confidence, correct = probabilities.max(axis=1), np.asarray(correct, float)
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    clips = np.bincount(where, minlength=bins)
    mean = lambda values: np.bincount(where, values, bins) / np.maximum(clips, 1)                   # noqa: E731
    return mean(confidence), mean(correct), clips


def calibration_error(probabilities, correct):
    """Expected calibration error: how far confidence and share right lie apart, on average over clips."""
    confidence, right, clips = reliability_curve(probabilities, correct)
    return float((clips * abs(confidence - right)).sum() / clips.sum())


def confidence_threshold(confidence, correct, target=TARGET_ACCURACY, min_clips=20):
    """The lowest confidence at which a prediction is expected to be right with a probability of `target`: in (0, 1].

    What is expected is the share of correct predictions as a function that rises with confidence (isotonic regression).
    confidence : float (clips,); correct : bool (clips,). 1 where fewer than `min_clips` reach it.
    """
    from sklearn.isotonic import IsotonicRegression
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    enough = IsotonicRegression().fit_transform(confidence, correct) >= target
    return float(confidence[enough].min()) if enough.sum() >= min_clips else 1.0
