"""Classification metrics, intervals, comparison, calibration: closed forms and independent routes."""
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import norm, t, ttest_rel
from sklearn.metrics import f1_score

from ser import metrics

RNG = np.random.default_rng(0)


def test_classification_metrics_by_hand():
    found = metrics.classification_metrics(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    assert found == pytest.approx(dict(accuracy=3 / 4, uar=(2 / 3 + 1) / 2, weighted_f1=(3 * 4 / 5 + 2 / 3) / 4,
                                       macro_f1=(4 / 5 + 2 / 3) / 2))


# -- interval --------------------------------------------------------------------------------------
def test_interval_is_that_of_the_normal_distribution_for_many_actors():
    actors = np.repeat(np.arange(400), 10)
    right = RNG.random(4000) < np.repeat(RNG.uniform(0.5, 1, 400), 10)
    of_actor = right.reshape(400, 10).mean(axis=1)
    half = norm.ppf(0.975) * of_actor.std() / 20
    expected = right.mean() - half, right.mean() + half
    assert metrics.speaker_bootstrap_ci(right, actors) == pytest.approx(expected, abs=2e-3)


def test_interval_resamples_actors_not_clips():
    """Two actors, one always right: both may be drawn twice, whatever their number of clips."""
    assert metrics.speaker_bootstrap_ci([1] * 500 + [0] * 500, ["x"] * 500 + ["y"] * 500) == (0, 1)
    assert np.isnan(metrics.speaker_bootstrap_ci([1, 0, 1, 1], [7, 7, 7, 7])).all()      # nobody else to draw
    order = RNG.permutation(1000)
    right, actors = RNG.random(1000) < 0.8, RNG.integers(24, size=1000)
    assert metrics.speaker_bootstrap_ci(right, actors) == metrics.speaker_bootstrap_ci(right[order], actors[order])
    assert metrics.speaker_bootstrap_ci(right, actors) == metrics.speaker_bootstrap_ci(right, actors.astype(str))


def test_interval_of_f1_is_that_of_scikit_learn_on_the_drawn_actors():
    """Of two actors 2.5 % of the draws or more are one of them twice: the ends are the two actors' own F1."""
    true, predicted = (np.array(list("abc"))[RNG.integers(3, size=400)] for _ in range(2))
    actors = np.repeat(["x", "y"], 200)
    predicted[:150] = true[:150]
    ends = [f1_score(true[own], predicted[own], average="weighted") for own in (actors == "y", actors == "x")]
    assert metrics.speaker_bootstrap_f1_ci(true, predicted, actors) == pytest.approx(ends)
    assert metrics.speaker_bootstrap_f1_ci(true, true, actors) == (1, 1)
    assert np.isnan(metrics.speaker_bootstrap_f1_ci(true, predicted, ["x"] * 400)).all()


# -- comparison ------------------------------------------------------------------------------------
def test_corrected_t_test_is_the_paired_one_with_a_larger_variance():
    a, b = RNG.normal(0.82, 0.02, 5), RNG.normal(0.80, 0.02, 5)
    plain = ttest_rel(a, b)
    expected = 2 * t.sf(abs(plain.statistic) / np.sqrt(1 + 5 / 4), 4)       # (1/5 + 1/4) / (1/5) = 1 + 5/4
    assert metrics.corrected_t_test(a, b, folds=5) == pytest.approx(expected)
    assert metrics.corrected_t_test(a, b, folds=5) == metrics.corrected_t_test(b, a, folds=5) > plain.pvalue


@pytest.mark.parametrize("p, text", [(0.25, "0.25"), (0.0051, "0.01"), (0.0049, "<0.01"), (0.0, "<0.01"), (1, "1.00")])
def test_a_p_that_would_round_to_zero_is_written_as_a_bound(p, text):
    assert metrics.format_p(p) == text


def test_corrected_t_test_at_its_edges():
    assert metrics.corrected_t_test([0.8, 0.7], [0.8, 0.7], folds=5) == 1
    assert np.isnan(metrics.corrected_t_test([0.75, 0.5], [0.5, 0.25], folds=5))     # all folds differ alike
    assert np.isnan(metrics.corrected_t_test([1 / 3 + 1 / 7, 1 / 9 + 1 / 7], [1 / 3, 1 / 9], folds=5))      # rounded
    assert np.isnan(metrics.corrected_t_test([0.8], [0.7], folds=5))


# -- calibration -----------------------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    true = softmax(RNG.normal(0, 1, (40_000, 8)), axis=1)
    labels = (true.cumsum(axis=1) > RNG.random((40_000, 1))).argmax(axis=1)         # drawn from these probabilities
    given = metrics.apply_temperature(true, 1 / temperature)             # too sure by this much
    assert metrics.fit_temperature(given, labels) == pytest.approx(temperature, rel=0.05)


def test_metrics_of_a_fit_are_of_test_clips_and_its_temperature_of_validation_clips():
    names = np.array(["a", "b", "c"])

    def table(right):
        """200 clips, the surest 60 %, `right` of them as predicted."""
        predicted = np.arange(200) % 3
        true = np.where(np.arange(200) < 200 * right, predicted, (predicted + 1) % 3)
        p = np.where(np.arange(3) == predicted[:, None], 0.6, 0.2)
        return pd.DataFrame(dict(true=names[true], predicted=names[predicted])).join(
            pd.DataFrame(p, columns=[f"p_{name}" for name in names]))

    found = metrics.fit_metrics(table(0.9), table(0.5))
    assert (found["accuracy"], found["validation_accuracy"]) == (0.9, 0.5)
    assert found["calibration_error"] == pytest.approx(0.9 - 0.6)
    # Half of the validation clips are right, so 50 % is the likeliest confidence, whatever the test clips say.
    sure = 3 ** (1 / found["temperature"])                          # p of the predicted class over that of another
    assert sure / (sure + 2) == pytest.approx(0.5, abs=1e-3)
    assert found["calibration_error_after"] == pytest.approx(0.9 - 0.5, abs=1e-3)


def test_a_temperature_keeps_the_order_and_the_sum():
    p = softmax(RNG.normal(0, 3, (100, 8)), axis=1)
    for temperature in (0.3, 1.0, 4.0):
        scaled = metrics.apply_temperature(p, temperature)
        assert np.allclose(scaled.sum(axis=1), 1) and (scaled.argmax(axis=1) == p.argmax(axis=1)).all()
    assert np.allclose(metrics.apply_temperature(p, 1.0), p, atol=1e-6)
    assert np.isfinite(metrics.apply_temperature(np.array([[1.0, 0.0]]), 2.0)).all()


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 6)
    right = [1, 1, 1, 0] + [1] * 3 + [0] * 3
    assert metrics.calibration_error(p, right) == pytest.approx(0.4 * (0.9 - 0.75) + 0.6 * (0.6 - 0.5))
    confidence, share, clips = metrics.reliability_curve(p, right, bins=10)
    assert sorted(clips)[-2:] == [4, 6] and clips.sum() == 10
    assert np.isclose(confidence @ clips / 10, p.max(axis=1).mean()) and np.isclose(share @ clips / 10, np.mean(right))
    assert metrics.calibration_error(np.eye(2), [1, 1]) == 0
