"""The support vector machine, and the controls that every learner of the study must pass."""
from types import SimpleNamespace

import numpy as np
import pytest

import config
import svm

SETTINGS = SimpleNamespace(SVM_C=config.SVM_C, CLASSES=config.CLASSES)


def separable(clips=800, seed=0):
    """Functionals (clips, 3 versions, 26) whose class means lie apart, labels, parts."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, clips)
    x = rng.normal(0, 2, (8, 26))[labels][:, None] + rng.normal(0, 1, (clips, 3, 26))
    cuts = np.split(rng.permutation(clips), [clips // 2, 5 * clips // 8])
    parts = {part: np.sort(members) for part, members in zip(("train", "validation", "test"), cuts)}
    return (100 + 7 * x).astype(np.float32), labels, parts


def test_it_learns_what_can_be_learnt_and_says_how_sure_it_is():
    x, labels, parts = separable()
    outcome = svm.fit(x, labels, [parts], SETTINGS)
    for part in ("validation", "test"):
        p = outcome[part]
        assert p.shape == (len(parts[part]), 8) and np.allclose(p.sum(axis=1), 1)
        assert (p.argmax(axis=1) == labels[parts[part]]).mean() > 0.95
    assert np.allclose(outcome["mean"], x[parts["train"], 0].mean(axis=0), rtol=1e-5)       # of the training part alone


@pytest.mark.parametrize("classes", [2, 3])
def test_emotions_that_training_has_not_heard_get_what_is_left(classes):
    x, labels, parts = separable()
    for part in parts:
        parts[part] = parts[part][labels[parts[part]] < classes]
    p = svm.fit(x, labels, [parts], SETTINGS)["test"]
    assert (p.argmax(axis=1) == labels[parts["test"]]).mean() > 0.95 and (p[:, classes:] < 0.2).all()


def test_shuffled_training_labels_give_chance():
    x, labels, parts = separable(2400)
    shuffled = labels.copy()
    for part in ("train", "validation"):
        shuffled[parts[part]] = np.random.default_rng(1).permutation(labels[parts[part]])
    right = (svm.fit(x, shuffled, [parts], SETTINGS)["test"].argmax(axis=1) == labels[parts["test"]]).mean()
    assert right == pytest.approx(1 / 8, abs=4 * np.sqrt(7 / 64 / len(parts["test"])))      # 4 standard errors


def test_test_labels_and_copies_of_other_clips_change_nothing():
    x, labels, parts = separable()
    expected = svm.fit(x, labels, [parts], SETTINGS)["test"]
    other = labels.copy()
    other[parts["test"]] = 0
    x = x.copy()
    x[parts["test"], 1:] = np.nan
    assert np.array_equal(svm.fit(x, other, [parts], SETTINGS)["test"], expected)


def test_a_class_that_training_lacks_is_never_predicted():
    x, labels, parts = separable()
    parts["train"] = parts["train"][labels[parts["train"]] != 3]
    p = svm.fit(x, labels, [parts], SETTINGS)["test"]
    assert p.shape[1] == 8 and not (p.argmax(axis=1) == 3).any()


def test_several_members_are_averaged():
    x, labels, parts = separable()
    second = dict(parts, train=np.union1d(parts["validation"], parts["train"][80:]), validation=parts["train"][:80])
    alone = [svm.fit(x, labels, [member], SETTINGS) for member in (parts, second)]
    both = svm.fit(x, labels, [parts, second], SETTINGS)
    assert np.allclose(both["test"], (alone[0]["test"] + alone[1]["test"]) / 2)
    where = np.argsort(np.concatenate([parts["validation"], second["validation"]]), kind="stable")
    assert np.allclose(both["validation"], np.concatenate([outcome["validation"] for outcome in alone])[where])
