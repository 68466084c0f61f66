"""The support vector traineds, and the controls that every learner of the study must pass."""
import dataclasses
import io

import numpy as np
import pytest
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler

import config
import features
from features import standardise
from ser import splits
from study import fitting, svm

CLASSES = {"svm": svm.FunctionalsSVM, "dtw": svm.DTWSVM}


def separable(clips=800, seed=0):
    """Functionals (clips, 3 versions, 26) whose class means lie apart, labels, parts."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, clips)
    x = rng.normal(0, 2, (8, 26))[labels][:, None] + rng.normal(0, 1, (clips, 3, 26))
    cuts = np.split(rng.permutation(clips), [clips // 2, 5 * clips // 8])
    parts = {part: np.sort(members) for part, members in zip(("train", "validation", "test"), cuts)}
    return (100 + 7 * x).astype(np.float32), labels, parts


def fitted(x, labels, member_splits, lengths=None):
    """The outcome of a fit by name, and the bytes of its file."""
    estimator = CLASSES["svm" if lengths is None else "dtw"](8, C=config.SVM_C)
    outcome = fitting.fit_fold(estimator, x, lengths, labels, member_splits)
    return vars(outcome) | dict(model=estimator.save()["svm.npz"], parameters=estimator.n_parameters)


def spoken(clips=160, seed=0, noise=2):
    """Frames (clips, 2 versions, 40, 5) of four melodies at any pace, the emotion; lengths, labels, parts."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, clips)
    lengths = rng.integers(20, 41, (clips, 2))
    x = np.full((clips, 2, 40, 5), np.nan, np.float32)                          # padding is never looked at
    for clip, label in enumerate(labels):
        length = lengths[clip, 0]
        time = np.linspace(0, 1, length) ** rng.uniform(0.7, 1.4)
        melody = np.stack([np.sin((label + 1) * np.pi * time + phase) for phase in range(5)], axis=1)
        x[clip, 0, :length] = 50 + 9 * melody + rng.normal(0, noise, (length, 5))
    cuts = np.split(rng.permutation(clips), [clips // 2, 5 * clips // 8])
    return x, lengths, labels, {part: np.sort(own) for part, own in zip(("train", "validation", "test"), cuts)}


def test_it_learns_what_can_be_learnt_and_says_how_sure_it_is():
    x, labels, parts = separable()
    outcome = fitted(x, labels, [parts])
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
    p = fitted(x, labels, [parts])["test"]
    assert (p.argmax(axis=1) == labels[parts["test"]]).mean() > 0.95 and (p[:, classes:] < 0.2).all()


def test_shuffled_training_labels_give_chance():
    x, labels, parts = separable(2400)
    shuffled = labels.copy()
    for part in ("train", "validation"):
        shuffled[parts[part]] = np.random.default_rng(1).permutation(labels[parts[part]])
    right = (fitted(x, shuffled, [parts])["test"].argmax(axis=1) == labels[parts["test"]]).mean()
    assert right == pytest.approx(1 / 8, abs=4 * np.sqrt(7 / 64 / len(parts["test"])))      # 4 standard errors


def test_test_labels_and_copies_of_other_clips_change_nothing():
    x, labels, parts = separable()
    expected = fitted(x, labels, [parts])["test"]
    other = labels.copy()
    other[parts["test"]] = 0
    x = x.copy()
    x[parts["test"], 1:] = np.nan
    assert np.array_equal(fitted(x, other, [parts])["test"], expected)


def test_a_class_that_training_lacks_is_never_predicted():
    x, labels, parts = separable()
    parts["train"] = parts["train"][labels[parts["train"]] != 3]
    p = fitted(x, labels, [parts])["test"]
    assert p.shape[1] == 8 and not (p.argmax(axis=1) == 3).any()


def overlapping():
    """As `separable`, with noise enough to be wrong, and two members."""
    x, labels, parts = separable()
    x += np.random.default_rng(5).normal(0, 40, x.shape).astype(np.float32)
    second = dict(parts, train=np.union1d(parts["validation"], parts["train"][80:]), validation=parts["train"][:80])
    return x, labels, [parts, second]


def two_members(model):
    """What `svm.fit` takes, some of it hard to tell: x, lengths, labels, members."""
    if model == "svm":
        x, labels, members = overlapping()
        return x, None, labels, members
    x, lengths, labels, parts = spoken(noise=9)
    second = dict(parts, train=np.union1d(parts["validation"], parts["train"][10:]), validation=parts["train"][:10])
    return x, lengths, labels, [parts, second]


@pytest.mark.parametrize("model", list(CLASSES))
def test_a_validation_clip_is_answered_by_the_member_that_left_it_out(model, tmp_path):
    x, lengths, labels, members = two_members(model)
    outcome = fitted(x, labels, members, lengths)
    (tmp_path / "svm.npz").write_bytes(outcome["model"])
    trained = svm.load_trained(tmp_path / "svm.npz")
    heard = np.unique(np.concatenate([parts["train"] for parts in members]))
    for k, parts in enumerate(members):
        own = parts["validation"]
        assert not trained.dual_coef[k][np.isin(heard, own)].any()
        one = dataclasses.replace(trained, dual_coef=trained.dual_coef[[k]], intercept=trained.intercept[[k]],
                                  bandwidth=trained.bandwidth[[k]])
        real = None if lengths is None else lengths[own, 0]
        alone = one.predict_proba(standardise(x[own, 0], outcome["mean"], outcome["std"], real), real)
        found = outcome["validation"][np.searchsorted(splits.validation_indices(members), own)]
        assert np.allclose(alone, found, atol=1e-4)                                 # distances are float32


@pytest.mark.parametrize("model", list(CLASSES))
def test_test_clips_do_not_touch_the_trained(model):
    """Neither their sound nor their labels: not the scalers, not the bandwidths, not a coefficient."""
    x, lengths, labels, members = two_members(model)
    test, other, relabelled = members[0]["test"], x.copy(), labels.copy()
    other[test] *= 3
    relabelled[test] = 0
    one, two = fitted(x, labels, members, lengths), fitted(other, relabelled, members, lengths)
    kept, anew = (np.load(io.BytesIO(outcome["model"])) for outcome in (one, two))
    assert set(kept) == set(anew) and all(np.array_equal(kept[name], anew[name]) for name in kept)
    for name in ("mean", "std", "validation"):
        assert np.array_equal(one[name], two[name])
    assert not np.allclose(one["test"], two["test"])


def test_several_members_are_averaged():
    x, labels, members = overlapping()
    alone = [fitted(x, labels, [member]) for member in members]
    both = fitted(x, labels, members)
    assert np.abs(alone[0]["test"] - alone[1]["test"]).max() > 0.05
    mean = (alone[0]["test"] + alone[1]["test"]) / 2
    assert np.abs(both["test"] - mean).max() < np.abs(alone[0]["test"] - alone[1]["test"]).max() / 4


def test_melodies_at_any_pace_are_told_apart():
    x, lengths, labels, parts = spoken()
    outcome = fitted(x, labels, [parts], lengths)
    assert (outcome["test"].argmax(axis=1) == labels[parts["test"]]).mean() > 0.95
    assert outcome["test"].shape == (len(parts["test"]), 8) and np.allclose(outcome["test"].sum(axis=1), 1)


def test_clips_are_compared_by_their_frames_and_by_their_functionals():
    """Each view on its own way: scikit-learn's scaler and its Euclidean distance, for one."""
    x, lengths, _, _ = spoken(clips=6)
    x, lengths = np.nan_to_num(x[:, 0]), lengths[:, 0]
    clips, _ = svm.representations(x, lengths, svm.dtw.DTW_PARAMS)
    found = svm.distances(clips)
    assert list(clips) == list(svm.DTWSVM.REPRESENTATIONS) and found.shape == (2, 6, 6)
    assert np.array_equal(found[0], svm.dtw.distances(
        [svm.dtw.frame_descriptors(clip[:length], **svm.dtw.DTW_PARAMS) for clip, length in zip(x, lengths)]))
    standardised = StandardScaler().fit_transform(features.functionals(x, lengths).astype(float))
    assert np.allclose(found[1], euclidean_distances(standardised), atol=1e-3)          # of about 10, in float32


def test_the_kernel_is_the_product_of_that_of_each_representation():
    between, bandwidth = np.random.default_rng(0).uniform(0, 3, (2, 4, 5)), np.array([0.8, 2.0])
    assert np.allclose(svm.rbf_kernel(between, bandwidth),
                       svm.rbf_kernel(between[:1], bandwidth[:1]) * svm.rbf_kernel(between[1:], bandwidth[1:]))
    between = np.array([[[0.0, 0.8]], [[0.0, 0.0]]])
    assert svm.rbf_kernel(between, bandwidth) == pytest.approx(np.array([[1, np.exp(-1)]]))


@pytest.mark.parametrize("model", list(CLASSES))
def test_a_saved_trained_gives_the_same_answers(model, tmp_path, monkeypatch):
    """Whatever the constants are by then; and each member has its say."""
    x, lengths, labels, members = two_members(model)
    outcome, test = fitted(x, labels, members, lengths), members[0]["test"]
    (tmp_path / "svm.npz").write_bytes(outcome["model"])
    monkeypatch.setattr(CLASSES[model], "REPRESENTATIONS", {})
    for name in svm.dtw.DTW_PARAMS:
        monkeypatch.setitem(svm.dtw.DTW_PARAMS, name, 1)
    trained = svm.load_trained(tmp_path / "svm.npz")
    real = None if lengths is None else lengths[test, 0]
    clips = standardise(x[test, 0], outcome["mean"], outcome["std"], real)
    assert np.allclose(trained.predict_proba(clips, real), outcome["test"], atol=1e-4)    # distances are float32
    assert trained.n_parameters == outcome["parameters"]
    one = dataclasses.replace(trained, dual_coef=trained.dual_coef[:1], intercept=trained.intercept[:1],
                              bandwidth=trained.bandwidth[:1])
    assert np.abs(one.predict_proba(clips, real) - outcome["test"]).max() > 1e-3


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-200], lambda content: b"no zip",
                                    lambda content: content.replace(b"dual_coef", b"dual_cold")])
def test_a_damaged_trained_is_a_clear_error(damage, tmp_path):
    x, labels, parts = separable()
    (tmp_path / "svm.npz").write_bytes(damage(fitted(x, labels, [parts])["model"]))
    with pytest.raises(ValueError):
        svm.load_trained(tmp_path / "svm.npz")


@pytest.mark.parametrize("share", [1, 0.7])
def test_clips_said_twice_have_no_distance_to_divide_by(share):
    x, labels, parts = separable()
    same = parts["train"][:int(share * len(parts["train"]))]
    x[same] = x[same[:1]]
    assert np.isfinite(fitted(x, labels, [parts])["test"]).all()


def test_validation_labels_change_nothing():
    x, labels, members = overlapping()
    expected = fitted(x, labels, members[:1])
    other = labels.copy()
    other[members[0]["validation"]] = 0
    found = fitted(x, other, members[:1])
    assert all(np.array_equal(found[part], expected[part]) for part in ("validation", "test"))


def test_a_member_that_knows_one_emotion_answers_that():
    x, labels, parts = separable()
    parts["train"] = parts["train"][labels[parts["train"]] == 5]
    assert (fitted(x, labels, [parts])["test"].argmax(axis=1) == 5).all()


def test_validation_clips_need_not_be_among_those_heard():
    """As with a split of one's own: the same for every member."""
    x, labels, parts = separable()
    one, two = fitted(x, labels, [parts]), fitted(x, labels, [parts, parts])
    assert np.allclose(one["test"], two["test"]) and np.allclose(one["validation"], two["validation"])
