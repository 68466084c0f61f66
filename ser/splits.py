"""Who is tested, who is trained on, who decides: the protocols of the study (`--cv`, `config.PROTOCOL`).

    stratified  N_FOLDS folds stratified by emotion; the same speakers in training and test
    timnet      10 folds of shuffled clips, the same speakers: the splits behind TIM-Net's record
    emobox      6 folds of speakers, those of EmoBox; the test speakers are unseen
    luna        5 folds of speakers, those of Luna-Jimenez et al. 2021; the test speakers are unseen
    loso        leave one speaker out
    sentence    train on one of the two sentences, test on the other; the same speakers
    speakers    N_FOLDS folds of speakers, stratified by emotion as far as speakers can be; for data of one's own
    given       one fold: the split in the table of clips, such as a manifest's or that of --train-on and --test-on

Clips with the same recording id never part: none of a test clip's recording is trained on. A fit is a mean of several
models, its members, and each of them leaves out another part of the fold's training clips, its validation part: so
together they have heard all of these clips, and each clip of a validation part has a prediction by a model that has
not. A validation part is cut out by the rule of the test part: whole speakers where the test speakers are unseen, else
recordings stratified by emotion (with `sentence`, of the sentence that is trained on). `given` takes the validation
clips of the table, the same for every member; where it has none, they are cut out, by speakers if the tested ones are
unseen.
"""
import math

import numpy as np
from sklearn import model_selection as sklearn_splits

from ser.seeds import seed_for

UNSEEN_SPEAKERS = ("emobox", "luna", "loso", "speakers")
TEST_ACTORS = {
    "emobox": ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22)),
    "luna": ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24), (1, 4, 9, 22)),
}


def protocol_sentence(cv, folds, seed, validation_share, members):
    """The protocol in words; it stands next to every number."""
    test = {
        "stratified": f"{folds}-fold stratified by emotion, same speakers in training and test, recordings whole",
        "timnet": "10-fold over clips as TIM-Net (KFold, random_state 46), same speakers in training and test",
        "emobox": "EmoBox's 6 speaker folds, test speakers unseen",
        "luna": "5 speaker folds of Luna-Jimenez et al. 2021, test speakers unseen",
        "loso": "leave one speaker out, test speaker unseen",
        "sentence": "one sentence trained on, the other tested, same speakers",
        "speakers": f"{folds} folds of speakers, test speakers unseen",
        "given": "the data's own split",
    }[cv]
    share = f"{validation_share:.0%} of training{' speakers' if cv in UNSEEN_SPEAKERS else ''}"
    left_out = f"{share} left out" + f" by each of {members} models in turn" * (members > 1)
    if cv == "given":
        left_out = f"the data's own; without any, {validation_share:.0%} of training left out"
    return f"{test}, seed {seed}; test read once, all choices on inner validation ({left_out})"


def assign_folds(cv, clips, folds, seed):
    """The fold in which each clip is tested.

    clips   : table with label, recording, actor and file (and statement, split), a row per clip
    folds   : of `stratified` and `speakers`; the other protocols have numbers of their own
    returns : int (clips,), counted from 0; -1 for clips that are never tested
    raises  : ValueError for clips that the protocol does not fit
    """
    if cv == "stratified":
        return stratified_folds(clips.label.to_numpy(), clips.recording.to_numpy(), folds, seed)
    if cv == "timnet":
        return timnet_folds(clips)
    if cv in TEST_ACTORS:
        fold_of_actor = {actor: fold for fold, actors in enumerate(TEST_ACTORS[cv]) for actor in actors}
        return folds_from_groups(clips.actor, fold_of_actor, f"the {cv} folds name all 24 actors of RAVDESS")
    if cv == "speakers":
        if clips.actor.nunique() < folds:
            raise ValueError(f"{folds} folds of speakers need as many speakers, and there are {clips.actor.nunique()}")
        fold_of_clip = np.empty(len(clips), int)
        splitter = sklearn_splits.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(clips, clips.label, groups=clips.actor)):
            fold_of_clip[test] = fold
        return fold_of_clip
    column = {"loso": "actor", "sentence": "statement", "given": "split"}[cv]
    if column not in clips or clips[column].isna().any():
        raise ValueError(f"it needs a {column} for every clip")
    if cv == "given":
        return predefined_fold(clips.split)
    groups = clips[column]
    return folds_from_groups(groups, {group: fold for fold, group in enumerate(sorted(set(groups)))}, f"{cv} needs at least two")


def stratified_folds(labels, recordings, folds, seed):
    """StratifiedKFold over the recordings in the order of their first clip: -> int (clips,).

    raises : ValueError when an emotion has fewer recordings than there are folds
    """
    _, first, of_clip = np.unique(recordings, return_index=True, return_inverse=True)
    counts = np.unique(labels[first], return_counts=True)[1]
    if counts.min() < folds:
        raise ValueError(f"{folds} folds need {folds} recordings of every emotion; one has only {counts.min()}")
    fold_of_recording = np.empty(len(first), int)
    splitter = sklearn_splits.StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(first, labels[first])):
        fold_of_recording[test] = fold
    return fold_of_recording[of_clip]


def timnet_folds(clips):
    """KFold(10, shuffle=True, random_state=46) over the clips in path order, which is by actor, then file."""
    order = np.lexsort([clips.file, clips.actor])
    fold_of_clip = np.empty(len(clips), int)
    for fold, (_, test) in enumerate(sklearn_splits.KFold(10, shuffle=True, random_state=46).split(order)):
        fold_of_clip[order[test]] = fold
    return fold_of_clip


def predefined_fold(split):
    """0 for the clips of the part test, else -1; ValueError when training or test is empty."""
    if not {"train", "test"} <= set(split):
        raise ValueError("its column split needs both train and test")
    return np.where(split == "test", 0, -1)


def folds_from_groups(groups, fold_of_group, need):
    """Folds by actor or sentence; ValueError(need) unless every fold has clips and every clip a fold."""
    folds = groups.map(fold_of_group)
    if folds.isna().any() or folds.nunique() < max(2, 1 + max(fold_of_group.values())):
        raise ValueError(f"{need}, and these clips have {', '.join(map(str, sorted(set(groups))))}")
    return folds.to_numpy(int)


def inner_splits(cv, fold, fold_of_clip, clips, validation_share, seed, members):
    """The parts of one fold for each member: [{"train", "validation", "test"}: sorted clip indices].

    The test part is the same for all. Validation parts do not overlap, unless there is too little to cut from; each is
    a draw of its own, per fold and member. A training clip whose recording is tested is in no part; only `timnet`,
    `sentence` and `given`, which do not know recordings, have such.

    raises : ValueError for a fold without two emotions to train on
    """
    labels, recordings, actors = (clips[name].to_numpy() for name in ("label", "recording", "actor"))
    tested = fold_of_clip == fold
    training = np.flatnonzero(~np.isin(recordings, recordings[tested]))                     # clip indices
    if len(set(labels[training])) < 2:
        raise ValueError(f"fold {fold} has no two emotions to train on (without the recordings that it tests)")
    unseen = cv in UNSEEN_SPEAKERS or cv == "given" and not set(actors[training]) & set(actors[tested])
    seeds = [seed_for(seed, "validation", fold, member) for member in range(members)]
    if cv == "given" and "validation" in set(clips.split[training]):
        left_out = [np.isin(recordings[training], recordings[clips.split == "validation"])] * members
    elif unseen and len(set(actors[training])) > 1:
        left_out = draw_validation_speakers(actors[training], validation_share, seeds)
    else:
        left_out = draw_validation_recordings(recordings[training], labels[training], validation_share, seeds)
    if min(len(set(labels[training[~out]])) for out in left_out) < 2:
        raise ValueError(f"fold {fold} has no two emotions to train on (without its validation part)")
    return [{"train": training[~out], "validation": training[out], "test": np.flatnonzero(tested)} for out in left_out]


def draw_validation_speakers(speakers, share, seeds):
    """A share of the speakers for each seed, others for each as long as there are others: [bool (clips,), ...]"""
    everyone = pool = np.unique(speakers)
    size, draws = min(math.ceil(share * len(everyone)), len(everyone) - 1), []
    for seed in seeds:
        pool = everyone if len(pool) < size else pool
        drawn = np.random.default_rng(seed).choice(pool, size, replace=False)
        pool = np.setdiff1d(pool, drawn)
        draws.append(np.isin(speakers, drawn))
    return draws


def draw_validation_recordings(recordings, labels, share, seeds):
    """A share of the recordings for each seed, stratified by emotion, others for each as long as there are others:
    [bool (clips,), ...]"""
    _, first, of_clip = np.unique(recordings, return_index=True, return_inverse=True)
    strata, emotions = labels[first], len(set(labels))
    everything = pool = np.arange(len(first))
    size, draws = max(math.ceil(share * len(first)), emotions), []                              # one per emotion
    for seed in seeds:
        left = np.unique(strata[pool], return_counts=True)[1]
        if len(pool) < size + emotions or len(left) < emotions or left.min() < 2:               # what a draw needs
            pool = everything
        splitter = sklearn_splits.StratifiedShuffleSplit(n_splits=1, test_size=size, random_state=seed)
        _, drawn = next(splitter.split(pool, strata[pool]))
        draws.append(np.isin(of_clip, pool[drawn]))
        pool = np.delete(pool, drawn)
    return draws


def validation_indices(members):
    """The clips that any member leaves out, for validation: sorted clip indices."""
    return np.unique(np.concatenate([parts["validation"] for parts in members]))


def split_names(members, clips):
    """The part of each of `clips` clips in a fold, as text: train (of all members), test, validation (of all),
    validation 2 (left out by the second member alone), or nothing."""
    part = np.full(clips, "", object)
    for parts in members:
        part[parts["train"]], part[parts["test"]] = "train", "test"
    for clip in validation_indices(members):
        left_out = [str(number) for number, parts in enumerate(members, start=1) if clip in parts["validation"]]
        part[clip] = " ".join(["validation", *(left_out if len(left_out) < len(members) else [])])
    return part


def out_of_fold_mean(members, predictions):
    """Each member's prediction of its own validation part [(its clips, classes), ...] -> float (clips, classes) of the
    clips of `validated`, the mean where several members left a clip out."""
    clips = validation_indices(members)
    total, voters = np.zeros((len(clips), predictions[0].shape[1])), np.zeros((len(clips), 1))
    for parts, predicted in zip(members, predictions):
        left_out = np.searchsorted(clips, parts["validation"])
        total[left_out] += predicted
        voters[left_out] += 1
    return total / voters
