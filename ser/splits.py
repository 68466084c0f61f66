"""Cross-validation protocols: which clips train, validate and test in each fold (`--protocol`, `config.PROTOCOL`).

    stratified    N_FOLDS folds stratified by emotion; speaker-dependent
    timnet        10 folds of shuffled clips; speaker-dependent: the splits behind TIM-Net's record
    emobox        6 folds of speakers, those of EmoBox; speaker-independent
    luna_jimenez  5 folds of speakers, those of Luna-Jimenez et al. 2021; speaker-independent
    loso          leave one speaker out; speaker-independent
    sentence      train on one of the two sentences, test on the other; speaker-dependent
    speakers      N_FOLDS folds of speakers (as many as there are speakers, if those are fewer), stratified by emotion
                  as far as speakers can be; speaker-independent, and the default for data of one's own
    predefined    one fold: the split in the table of clips, such as a manifest's or that of --train-on and --test-on

Speaker-dependent: the same speakers in training and test. Speaker-independent: nobody who is tested is in training. A
new protocol is its function and its row in PROTOCOLS.

Clips with the same recording id stay on one side: none of a test clip's recording is in training. A fit is an ensemble
of members, and each holds out another part of the fold's training clips, its validation part: together they train on
all of these clips, and each validation clip has an out-of-fold prediction, by a member that was not trained on it. A
validation part is cut out by the rule of the test part: whole speakers in speaker-independent protocols, else
recordings stratified by emotion (with `sentence`, of the sentence that is trained on). `predefined` takes the
validation clips of the table, the same for every member; where it has none, they are cut out, by speakers if the
tested ones are not in training.
"""
import functools
import math
from typing import NamedTuple

import numpy as np

from ser.names import in_order
from ser.seeds import seed_for

TEST_ACTORS = {
    "emobox": ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22)),
    "luna_jimenez": ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24), (1, 4, 9, 22)),
}


# -- folds: (clips, n_folds, seed) -> int (clips,), the fold in which each clip is tested, -1 for never ----------------
# clips : table with label, recording, actor, file (and statement, split), a row per clip
# raise ValueError for clips that the protocol does not fit
def stratified(clips, n_folds, seed):
    check_recordings(clips, n_folds, f"{n_folds} folds need {n_folds} recordings of every emotion")
    return stratified_folds(clips.label.to_numpy(), clips.recording.to_numpy(), n_folds, seed)


def timnet(clips, n_folds, seed):
    """KFold(10, shuffle=True, random_state=46) over the clips in path order, which is by actor, then file."""
    from sklearn.model_selection import KFold
    order = np.lexsort([clips.file, clips.actor])
    fold_of_clip = np.empty(len(clips), int)
    for fold, (_, test) in enumerate(KFold(10, shuffle=True, random_state=46).split(order)):
        fold_of_clip[order[test]] = fold
    return fold_of_clip


def published_speakers(clips, n_folds, seed, *, name):
    """The published folds of TEST_ACTORS[name]."""
    fold_of_actor = {actor: fold for fold, actors in enumerate(TEST_ACTORS[name]) for actor in actors}
    return folds_from_groups(clips.actor, fold_of_actor, f"the {name} folds name all 24 actors of RAVDESS")


def leave_one_out(clips, n_folds, seed, *, column, name):
    """A fold for each value of a column."""
    groups = whole_column(clips, column)
    fold_of_group = {group: fold for fold, group in enumerate(in_order(groups))}
    return folds_from_groups(groups, fold_of_group, f"{name} needs at least two")


def speakers(clips, n_folds, seed):
    from sklearn.model_selection import StratifiedGroupKFold
    n_folds = min(n_folds, clips.actor.nunique())
    if n_folds < 2:
        raise ValueError("folds of speakers need at least two speakers, and there is one")
    fold_of_clip = np.empty(len(clips), int)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(clips, clips.label, groups=clips.actor)):
        fold_of_clip[test] = fold
    return fold_of_clip


def predefined(clips, n_folds, seed):
    """0 for the clips whose split is test, else -1; ValueError when training or test is empty."""
    split = whole_column(clips, "split")
    if not {"train", "test"} <= set(split):
        raise ValueError("its column split needs both train and test")
    return np.where(split == "test", 0, -1)


class Protocol(NamedTuple):
    """A row of PROTOCOLS."""
    folds: object                           # function, see above
    sentence: str                           # what stands next to every number; {n_folds} is filled in
    speaker_independent: bool | None        # None: as the data has it


PROTOCOLS = {
    "stratified": Protocol(
        stratified, "{n_folds}-fold stratified by emotion, speaker-dependent, recordings kept whole", False),
    "timnet": Protocol(
        timnet, "10-fold over clips as TIM-Net (KFold, random_state 46), speaker-dependent", False),
    "emobox": Protocol(
        functools.partial(published_speakers, name="emobox"), "EmoBox's 6 speaker folds, speaker-independent", True),
    "luna_jimenez": Protocol(
        functools.partial(published_speakers, name="luna_jimenez"),
        "5 speaker folds of Luna-Jimenez et al. 2021, speaker-independent", True),
    "loso": Protocol(
        functools.partial(leave_one_out, column="actor", name="loso"),
        "leave one speaker out, speaker-independent", True),
    "sentence": Protocol(
        functools.partial(leave_one_out, column="statement", name="sentence"),
        "train on one sentence, test on the other, speaker-dependent", False),
    "speakers": Protocol(speakers, "{n_folds} folds of speakers, speaker-independent", True),
    "predefined": Protocol(predefined, "the data's own split", None),
}


def protocol_sentence(protocol, n_folds, seed, validation_fraction, ensemble_size, adapt="none"):
    """The protocol in words; it stands next to every number. adapt : "speaker" where features are centred by it."""
    row = PROTOCOLS[protocol]
    part = f"{validation_fraction:.0%} of training{' speakers' if row.speaker_independent else ''} held out"
    if row.speaker_independent is None:
        part = f"the data's own; without any, {part}"
    elif ensemble_size > 1:
        part += f", another part by each of {ensemble_size} members"
    adapted = ", adapted to each speaker by the speaker's own unlabelled clips" if adapt == "speaker" else ""
    return (f"{row.sentence.format(n_folds=n_folds)}{adapted}, seed {seed}; all choices on inner "
            f"validation ({part})")


def assign_folds(protocol, clips, n_folds, seed):
    """The fold in which each clip is tested: int (clips,), counted from 0; -1 for clips that are never tested.

    clips   : table with label, recording, actor and file (and statement, split), a row per clip
    n_folds : of `stratified` and `speakers`; the other protocols have numbers of their own
    raises  : ValueError for clips that the protocol does not fit
    """
    return PROTOCOLS[protocol].folds(clips, n_folds, seed)


# -- parts of the folds ------------------------------------------------------------------------------
def whole_column(clips, column):
    """A column of the table of clips; ValueError where it is missing, or empty for a clip."""
    if column not in clips or clips[column].isna().any():
        raise ValueError(f"it needs a {column} for every clip")
    return clips[column]


def check_recordings(clips, least, need):
    """raises : ValueError(need) naming an emotion with fewer recordings than `least`."""
    counts = clips.recording.groupby(clips.get("emotion", clips.label)).nunique()
    if counts.min() < least:
        raise ValueError(f"{need}, and {counts.idxmin()} has {counts.min()}")


def stratified_folds(labels, recordings, n_folds, seed):
    """StratifiedKFold over the recordings, in the order of their names: -> int (clips,)."""
    from sklearn.model_selection import StratifiedKFold
    _, first, of_clip = np.unique(recordings, return_index=True, return_inverse=True)
    fold_of_recording = np.empty(len(first), int)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(first, labels[first])):
        fold_of_recording[test] = fold
    return fold_of_recording[of_clip]


def folds_from_groups(groups, fold_of_group, need):
    """Folds by actor or sentence; ValueError(need) unless every fold has clips and every clip a fold."""
    folds = groups.map(fold_of_group)
    if folds.isna().any() or folds.nunique() < max(2, 1 + max(fold_of_group.values())):
        raise ValueError(f"{need}, and these clips have {', '.join(map(str, sorted(set(groups))))}")
    return folds.to_numpy(int)


def inner_splits(protocol, fold, fold_of_clip, clips, validation_fraction, seed, ensemble_size):
    """The split of one fold for each member: [{"train", "validation", "test"}: sorted clip indices].

    The test part is the same for all. Validation parts do not overlap, unless there is too little to cut from; each is
    a draw of its own, per fold and member. A training clip whose recording is tested is in no part; only `timnet`,
    `sentence` and `predefined`, which do not know recordings, have such. Nor is one whose recording another speaker's
    validation clip is of.

    raises : ValueError for a fold without two emotions to train on
    """
    labels, recordings, actors = (clips[name].to_numpy() for name in ("label", "recording", "actor"))
    is_test = fold_of_clip == fold
    training = np.flatnonzero(~np.isin(recordings, recordings[is_test]))                     # clip indices
    if len(set(labels[training])) < 2:
        raise ValueError(f"fold {fold} has no two emotions to train on (without the recordings that it tests)")
    speaker_independent = PROTOCOLS[protocol].speaker_independent
    if speaker_independent is None:
        speaker_independent = not set(actors[training]) & set(actors[is_test])
    seeds = [seed_for(seed, "validation", fold, member) for member in range(ensemble_size)]
    if protocol == "predefined" and "validation" in set(clips.split[training]):
        held_out = [np.isin(recordings[training], recordings[clips.split == "validation"])] * ensemble_size
    elif speaker_independent and len(set(actors[training])) > 1:
        held_out = draw_validation_speakers(actors[training], validation_fraction, seeds)
    else:
        check_recordings(clips.iloc[training], 2, f"fold {fold} needs two recordings of every emotion to train on")
        held_out = draw_validation_recordings(recordings[training], labels[training], validation_fraction, seeds)
    parts = [{"train": training[~np.isin(recordings[training], recordings[training[out]])], "validation": training[out],
              "test": np.flatnonzero(is_test)} for out in held_out]
    if min(len(set(labels[part["train"]])) for part in parts) < 2:
        raise ValueError(f"fold {fold} has no two emotions to train on (without its validation part)")
    return parts


def draw_validation_speakers(speakers, fraction, seeds):
    """A fraction of the speakers for each seed, others for each as long as there are others: [bool (clips,), ...]"""
    everyone = pool = np.unique(speakers)
    size, draws = min(math.ceil(fraction * len(everyone)), len(everyone) - 1), []
    for seed in seeds:
        pool = everyone if len(pool) < size else pool
        drawn = np.random.default_rng(seed).choice(pool, size, replace=False)
        pool = np.setdiff1d(pool, drawn)
        draws.append(np.isin(speakers, drawn))
    return draws


def draw_validation_recordings(recordings, labels, fraction, seeds):
    """A fraction of the recordings for each seed, stratified by emotion, others for each as long as there are others:
    [bool (clips,), ...]"""
    from sklearn.model_selection import StratifiedShuffleSplit
    _, first, of_clip = np.unique(recordings, return_index=True, return_inverse=True)
    strata, emotions = labels[first], len(set(labels))
    everything = pool = np.arange(len(first))
    size, draws = max(math.ceil(fraction * len(first)), emotions), []                              # one per emotion
    for seed in seeds:
        left = np.unique(strata[pool], return_counts=True)[1]
        if len(pool) < size + emotions or len(left) < emotions or left.min() < 2:               # what a draw needs
            pool = everything
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=size, random_state=seed)
        _, drawn = next(splitter.split(pool, strata[pool]))
        draws.append(np.isin(of_clip, pool[drawn]))
        pool = np.delete(pool, drawn)
    return draws


def is_speaker_independent(protocol, clips, folds):
    """Whether no speaker who is tested is in training; folds : the member_splits of each (`inner_splits`)."""
    known = PROTOCOLS[protocol].speaker_independent
    actors = clips.actor.to_numpy()
    return known if known is not None else all(
        set(actors[split["train"]]).isdisjoint(actors[split["test"]]) for member_splits in folds
        for split in member_splits)


def validation_indices(member_splits):
    """The clips that any member holds out for validation: sorted clip indices."""
    return np.unique(np.concatenate([split["validation"] for split in member_splits]))


def split_names(member_splits, n_clips):
    """The part of each of `n_clips` clips in a fold, as text: train (of all members), test, validation (of all),
    validation 2 (held out by the second member alone), or nothing."""
    part = np.full(n_clips, "", object)
    for split in member_splits:
        part[split["train"]], part[split["test"]] = "train", "test"
    for clip in validation_indices(member_splits):
        held_out = [str(number) for number, split in enumerate(member_splits, start=1) if clip in split["validation"]]
        part[clip] = " ".join(["validation", *(held_out if len(held_out) < len(member_splits) else [])])
    return part


def out_of_fold_mean(member_splits, predictions):
    """Each member's predictions of its own validation part [(its clips, classes), ...] -> float (clips, classes) of the
    clips of `validation_indices`, the mean where several members held a clip out."""
    clips = validation_indices(member_splits)
    total, voters = np.zeros((len(clips), predictions[0].shape[1])), np.zeros((len(clips), 1))
    for split, predicted in zip(member_splits, predictions):
        held_out = np.searchsorted(clips, split["validation"])
        total[held_out] += predicted
        voters[held_out] += 1
    return total / voters
