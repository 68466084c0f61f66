"""The linear probe: what it learns, beside the closed form of ridge regression, and what is saved of it."""
import numpy as np
import pytest
from scipy.special import softmax

from study import fitting, linear


def clips(n=240, columns=26, variants=3, seed=0):
    """Functionals (clips, variants, columns) whose class means lie apart, labels, and two members' splits."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    x = rng.normal(0, 2, (4, columns))[labels][:, None] + rng.normal(0, 1, (n, variants, columns))
    test, *parts = np.split(rng.permutation(n), [60, 90, 120])
    members = [dict(test=np.sort(test), validation=np.sort(parts[k]), train=np.sort(np.concatenate(
        [parts[1 - k], parts[2]]))) for k in range(2)]
    return (100 + 7 * x).astype(np.float32), labels, members


@pytest.mark.parametrize("columns", [26, 700])              # fewer and more than clips and copies
def test_it_is_ridge_regression_in_closed_form(columns):
    x, labels, members = clips(columns=columns)
    probe = linear.LinearProbe(4, penalty=0.5)
    fit = fitting.fit_fold(probe, x, None, labels, members)
    for member, split in enumerate(members):
        train = (x[split["train"]].astype(float) - fit.mean) / fit.std                      # (clips, variants, columns)
        train = train.reshape(-1, columns)
        targets = np.eye(4)[labels[split["train"]].repeat(3)]
        centred = train - train.mean(axis=0)
        coef = np.linalg.solve(centred.T @ centred + 0.5 * len(train) * np.eye(columns),
                               centred.T @ (targets - targets.mean(axis=0))).T
        np.testing.assert_allclose(probe.coef[member], coef, atol=2e-4)
        np.testing.assert_allclose(probe.intercept[member], targets.mean(axis=0) - coef @ train.mean(axis=0), atol=1e-3)


def test_it_learns_and_its_probabilities_are_the_members_mean():
    x, labels, members = clips()
    probe = linear.LinearProbe(4, penalty=0.01)
    fit = fitting.fit_fold(probe, x, None, labels, members)
    assert fit.test.shape == (60, 4) and np.allclose(fit.test.sum(axis=1), 1)
    assert (fit.test.argmax(axis=1) == labels[members[0]["test"]]).mean() > 0.95
    clips_of_test = (x[members[0]["test"], 0] - fit.mean) / fit.std
    scores = [6 * (clips_of_test @ coef.T + intercept) for coef, intercept in zip(probe.coef, probe.intercept)]
    np.testing.assert_allclose(fit.test, np.mean([softmax(part, axis=1) for part in scores], axis=0), atol=1e-5)


def test_test_clips_are_not_looked_at_and_unknown_emotions_stay_unlikely():
    x, labels, members = clips()
    other = x.copy()
    other[members[0]["test"]] += 50
    before, after = (fitting.fit_fold(linear.LinearProbe(5, penalty=0.1), data, None, labels, members)
                     for data in (x, other))
    np.testing.assert_array_equal(before.validation, after.validation)
    assert before.validation[:, 4].max() < 0.2 and before.validation.shape[1] == 5


def test_what_is_saved_predicts_the_same(tmp_path):
    x, labels, members = clips()
    probe = linear.LinearProbe(4, penalty=0.1)
    fitting.fit_fold(probe, x, None, labels, members)
    for name, content in probe.save().items():
        (tmp_path / name).write_bytes(content)
    again = linear.LinearProbe.load(tmp_path)
    some = np.random.default_rng(0).normal(size=(5, 26)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_proba(some), probe.predict_proba(some))
    assert again.n_parameters == probe.n_parameters == 2 * 4 * 27


@pytest.mark.parametrize("content", [b"", b"no archive", "half"])
def test_a_damaged_file_says_so(content, tmp_path):
    probe = linear.LinearProbe(4, penalty=0.1)
    x, labels, members = clips()
    fitting.fit_fold(probe, x, None, labels, members)
    whole = probe.save()["linear.npz"]
    (tmp_path / "linear.npz").write_bytes(whole[:len(whole) // 2] if content == "half" else content)
    with pytest.raises(ValueError, match="train it again"):
        linear.LinearProbe.load(tmp_path)


@pytest.mark.parametrize("arrays", [dict(coef=np.zeros((2, 3))), dict(intercept=np.zeros((2, 5), np.float32)),
                                    dict(coef=np.full((2, 4, 26), np.nan, np.float32))])
def test_arrays_that_are_no_probe_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "linear.npz", **dict(coef=np.zeros((2, 4, 26)), intercept=np.zeros((2, 4))) | arrays)
    with pytest.raises(ValueError, match="train it again"):
        linear.LinearProbe.load(tmp_path)
