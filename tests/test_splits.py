"""The protocol: who is tested, who is trained on, who decides."""
import numpy as np
import pytest

import splits

FOLDS = 5


@pytest.fixture(scope="module")
def corpus():
    """Labels and recordings of 1440 clips as unbalanced as RAVDESS; clips 10 and 700 are one recording."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(8), [96] + [192] * 7))
    recordings = np.array([f"{k:04d}" for k in range(len(labels))])
    labels[700], recordings[700] = labels[10], recordings[10]
    return labels, recordings


def test_every_clip_is_tested_once_and_classes_keep_their_shares(corpus):
    labels, recordings = corpus
    fold = splits.stratified_folds(labels, recordings, FOLDS, seed=42)
    assert set(fold) == set(range(FOLDS))
    counts = np.array([np.bincount(labels[fold == k], minlength=8) for k in range(FOLDS)])   # (folds, classes)
    # StratifiedKFold deals classes out to within one recording; the pair adds one clip more.
    assert (np.ptp(counts, axis=0) <= 2).all()


@pytest.mark.parametrize("fold", range(FOLDS))
def test_parts_are_disjoint_and_whole(corpus, fold):
    labels, recordings = corpus
    of_clip = splits.stratified_folds(labels, recordings, FOLDS, seed=42)
    parts = splits.parts_of_fold(fold, of_clip, labels, recordings, 0.1, seed=42)
    together = np.concatenate(list(parts.values()))
    assert sorted(together) == list(range(len(labels)))
    of_recording = {name: set(recordings[clips]) for name, clips in parts.items()}
    assert not of_recording["train"] & of_recording["validation"]
    assert not (of_recording["train"] | of_recording["validation"]) & of_recording["test"]
    assert abs(len(parts["validation"]) / (len(parts["train"]) + len(parts["validation"])) - 0.1) < 0.005
    shares = np.bincount(labels[parts["validation"]], minlength=8) / len(parts["validation"])
    assert np.abs(shares - np.bincount(labels) / len(labels)).max() < 0.01


def test_a_pair_of_clips_stays_together_whatever_the_seed(corpus):
    labels, recordings = corpus
    for seed in range(20):
        of_clip = splits.stratified_folds(labels, recordings, FOLDS, seed)
        assert of_clip[10] == of_clip[700]
        fold = (of_clip[10] + 1) % FOLDS                    # where the pair is trained on or validates
        parts = splits.parts_of_fold(fold, of_clip, labels, recordings, 0.1, seed)
        assert len({name for name, clips in parts.items() for clip in (10, 700) if clip in clips}) == 1


def test_seed_changes_folds_and_each_fold_draws_its_own_validation(corpus):
    labels, recordings = corpus
    one, again, other = (splits.stratified_folds(labels, recordings, FOLDS, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()
    chosen = [set(splits.parts_of_fold(k, one, labels, recordings, 0.1, 1)["validation"]) for k in (0, 1)]
    assert chosen[0] != chosen[1]


def test_too_few_recordings_are_said():
    with pytest.raises(ValueError, match="5 folds need 5 recordings"):
        splits.stratified_folds(np.array([0] * 9 + [1] * 4), np.arange(13), FOLDS, seed=0)
