"""Who is tested, who is trained on, who decides: the protocol of the study.

Clips with the same recording id never part: recordings are split, and clips go with theirs.
"""
import numpy as np
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from seeds import seed_for


def protocol_name(folds, seed, validation_share):
    """The protocol in words; it stands next to every number."""
    return (f"{folds}-fold stratified by emotion, same speakers in training and test, recordings whole, seed {seed}; "
            f"test read once, all choices on an inner validation split ({validation_share:.0%} of training)")


def stratified_folds(labels, recordings, folds, seed):
    """The fold in which each clip is tested: labels (clips,), recordings (clips,) -> int (clips,).

    StratifiedKFold over the recordings in the order of their first clip.
    raises : ValueError when an emotion has fewer recordings than there are folds
    """
    _, first, of_clip = np.unique(recordings, return_index=True, return_inverse=True)
    classes, counts = np.unique(labels[first], return_counts=True)
    if counts.min() < folds:
        raise ValueError(f"{folds} folds need {folds} recordings of every emotion; one has only {counts.min()}")
    fold_of_recording = np.empty(len(first), int)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(first, labels[first])):
        fold_of_recording[test] = fold
    return fold_of_recording[of_clip]


def parts_of_fold(fold, fold_of_clip, labels, recordings, validation_share, seed):
    """{"train", "validation", "test"}: sorted clip indices of one fold.

    The validation part is cut, stratified, from the fold's training recordings, with a draw of its own per fold.
    """
    training = np.flatnonzero(fold_of_clip != fold)                             # clip indices
    _, first, of_clip = np.unique(recordings[training], return_index=True, return_inverse=True)
    splitter = StratifiedShuffleSplit(1, test_size=validation_share,
                                      random_state=seed_for(seed, "validation", fold))
    _, chosen = next(splitter.split(first, labels[training][first]))
    in_validation = np.isin(of_clip, chosen)
    return {"train": training[~in_validation], "validation": training[in_validation],
            "test": np.flatnonzero(fold_of_clip == fold)}
