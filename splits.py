"""Who is tested, who is trained on, who decides: the protocols of the study (`--cv`, `config.CV`).

    stratified  FOLDS folds stratified by emotion; the same speakers in training and test
    timnet      10 folds of shuffled clips, the same speakers: the splits behind TIM-Net's record
    emobox      6 folds of speakers, those of EmoBox; the test speakers are unseen
    luna        5 folds of speakers, those of Luna-Jimenez et al. 2021; the test speakers are unseen
    loso        leave one speaker out
    sentence    train on one of the two sentences, test on the other; the same speakers

Clips with the same recording id never part: none of a test clip's recording is trained on. Each fold's validation
part is cut from its training part by the rule of the test part: whole speakers where the test speakers are unseen, else
recordings stratified by emotion (with `sentence`, of the sentence that is trained on).
"""
import numpy as np
from sklearn.model_selection import GroupShuffleSplit, KFold, StratifiedKFold, StratifiedShuffleSplit

from seeds import seed_for

UNSEEN_SPEAKERS = ("emobox", "luna", "loso")
TEST_ACTORS = {
    "emobox": ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22)),
    "luna": ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24), (1, 4, 9, 22)),
}


def protocol_name(cv, folds, seed, validation_share):
    """The protocol in words; it stands next to every number."""
    test = {
        "stratified": f"{folds}-fold stratified by emotion, same speakers in training and test, recordings whole",
        "timnet": "10-fold over clips as TIM-Net (KFold, random_state 46), same speakers in training and test",
        "emobox": "EmoBox's 6 speaker folds, test speakers unseen",
        "luna": "5 speaker folds of Luna-Jimenez et al. 2021, test speakers unseen",
        "loso": "leave one speaker out, test speaker unseen",
        "sentence": "one sentence trained on, the other tested, same speakers",
    }[cv]
    share = f"{validation_share:.0%} of training{' speakers' if cv in UNSEEN_SPEAKERS else ''}"
    return f"{test}, seed {seed}; test read once, all choices on an inner validation split ({share})"


def assign_folds(cv, clips, folds, seed):
    """The fold in which each clip is tested.

    clips   : table with label, recording, actor, statement and file, a row per clip
    folds   : of `stratified`; the other protocols have numbers of their own
    returns : int (clips,), counted from 0
    raises  : ValueError for clips that the protocol does not fit
    """
    if cv == "stratified":
        return stratified_folds(clips.label.to_numpy(), clips.recording.to_numpy(), folds, seed)
    if cv == "timnet":
        return timnet_folds(clips)
    if cv in TEST_ACTORS:
        fold_of_actor = {actor: fold for fold, actors in enumerate(TEST_ACTORS[cv]) for actor in actors}
        return by_group(clips.actor, fold_of_actor, f"the {cv} folds name all 24 actors of RAVDESS")
    groups = clips.actor if cv == "loso" else clips.statement
    return by_group(groups, {group: fold for fold, group in enumerate(sorted(set(groups)))}, f"{cv} needs at least two")


def stratified_folds(labels, recordings, folds, seed):
    """StratifiedKFold over the recordings in the order of their first clip: -> int (clips,).

    raises : ValueError when an emotion has fewer recordings than there are folds
    """
    _, first, of_clip = np.unique(recordings, return_index=True, return_inverse=True)
    counts = np.unique(labels[first], return_counts=True)[1]
    if counts.min() < folds:
        raise ValueError(f"{folds} folds need {folds} recordings of every emotion; one has only {counts.min()}")
    fold_of_recording = np.empty(len(first), int)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(first, labels[first])):
        fold_of_recording[test] = fold
    return fold_of_recording[of_clip]


def timnet_folds(clips):
    """KFold(10, shuffle=True, random_state=46) over the clips in path order, which is by actor, then file."""
    order = np.lexsort([clips.file, clips.actor])
    fold_of_clip = np.empty(len(clips), int)
    for fold, (_, test) in enumerate(KFold(10, shuffle=True, random_state=46).split(order)):
        fold_of_clip[order[test]] = fold
    return fold_of_clip


def by_group(groups, fold_of_group, need):
    """Folds by actor or sentence; ValueError(need) unless every fold has clips and every clip a fold."""
    folds = groups.map(fold_of_group)
    if folds.isna().any() or folds.nunique() < max(2, 1 + max(fold_of_group.values())):
        raise ValueError(f"{need}, and these clips have {', '.join(map(str, sorted(set(groups))))}")
    return folds.to_numpy(int)


def parts_of_fold(cv, fold, fold_of_clip, clips, validation_share, seed):
    """{"train", "validation", "test"}: sorted clip indices of one fold.

    The validation part is drawn from the fold's training part, with a draw of its own per fold. A training clip whose
    recording is tested is in no part; only `timnet` and `sentence`, which do not know recordings, have such clips.
    """
    labels, recordings = clips.label.to_numpy(), clips.recording.to_numpy()
    tested = fold_of_clip == fold
    training = np.flatnonzero(~np.isin(recordings, recordings[tested]))                     # clip indices
    draw = dict(n_splits=1, test_size=validation_share, random_state=seed_for(seed, "validation", fold))
    if cv in UNSEEN_SPEAKERS:
        actors = clips.actor.to_numpy()[training]
        _, chosen = next(GroupShuffleSplit(**draw).split(training, groups=actors))
        in_validation = np.isin(np.arange(len(training)), chosen)
    else:
        _, first, of_clip = np.unique(recordings[training], return_index=True, return_inverse=True)
        _, chosen = next(StratifiedShuffleSplit(**draw).split(first, labels[training][first]))
        in_validation = np.isin(of_clip, chosen)
    return {"train": training[~in_validation], "validation": training[in_validation], "test": np.flatnonzero(tested)}
