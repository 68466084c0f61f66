"""The protocols: which clips train, validate and test."""
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from ser import splits

N_FOLDS = 5
TWINS = ("03-01-03-01-01-02-07.wav", "03-01-03-01-02-02-07.wav")       # identical in RAVDESS: two sentences, by name
FOLD_COUNTS = dict(stratified=N_FOLDS, timnet=10, emobox=6, luna_jimenez=5, loso=24, sentence=2, speakers=N_FOLDS)
SPEAKER_INDEPENDENT = ("emobox", "luna_jimenez", "loso", "speakers")


@pytest.fixture(scope="module")
def clips():
    """1440 clips as RAVDESS has them, in order of file name; TWINS are one recording under two names."""
    rows = [dict(actor=actor, label=label, statement=statement, intensity=intensity, repetition=repetition,
                 file=f"03-01-{label + 1:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}.wav")
            for label in range(8) for intensity in (1, 2) for statement in (1, 2) for repetition in (1, 2)
            for actor in range(1, 25) if label or intensity == 1]
    table = pd.DataFrame(rows).sort_values("file", ignore_index=True)
    table["recording"] = [f"{k:04d}" for k in range(len(table))]
    table.loc[table.file.isin(TWINS), "recording"] = "twin"
    return table


def member_splits(protocol, clips, fold, seed=42, ensemble_size=3):
    fold_of_clip = splits.assign_folds(protocol, clips, N_FOLDS, seed)
    return splits.inner_splits(protocol, fold, fold_of_clip, clips, 0.1, seed, ensemble_size)


def first_split(protocol, clips, fold, seed=42):
    return member_splits(protocol, clips, fold, seed)[0]


def test_every_protocol_has_its_row_here():
    assert set(splits.PROTOCOLS) == {*FOLD_COUNTS, "predefined"}
    assert SPEAKER_INDEPENDENT == tuple(name for name, row in splits.PROTOCOLS.items() if row.speaker_independent)


@pytest.mark.parametrize("protocol", FOLD_COUNTS)
def test_every_clip_is_tested_once_in_the_right_number_of_folds(clips, protocol):
    fold = splits.assign_folds(protocol, clips, N_FOLDS, seed=42)
    assert len(fold) == len(clips) == 1440 and set(fold) == set(range(FOLD_COUNTS[protocol]))


@pytest.mark.parametrize("protocol", FOLD_COUNTS)
def test_parts_are_disjoint_and_lose_at_most_a_twin(clips, protocol):
    for parts in (parts for fold in range(FOLD_COUNTS[protocol]) for parts in member_splits(protocol, clips, fold)):
        together = np.concatenate(list(parts.values()))
        assert len(set(together)) == len(together) >= len(clips) - 1
        recordings = {name: set(clips.recording[own]) for name, own in parts.items()}
        assert not recordings["train"] & recordings["validation"]
        assert not (recordings["train"] | recordings["validation"]) & recordings["test"]


@pytest.mark.parametrize("protocol", SPEAKER_INDEPENDENT)
def test_speaker_independent_validation_is_by_speakers_too(clips, protocol):
    for parts in (parts for fold in range(FOLD_COUNTS[protocol]) for parts in member_splits(protocol, clips, fold)):
        actors = {name: set(clips.actor[own]) for name, own in parts.items()}
        assert not actors["train"] & actors["validation"] and len(actors["validation"]) >= 2
        assert not (actors["train"] | actors["validation"]) & actors["test"]


@pytest.mark.parametrize("protocol", ["stratified", "timnet", "sentence"])
def test_speaker_dependent_validation_is_stratified(clips, protocol):
    for fold in range(FOLD_COUNTS[protocol]):
        parts = first_split(protocol, clips, fold)
        training = len(parts["train"]) + len(parts["validation"])
        assert abs(len(parts["validation"]) / training - 0.1) < 0.005
        shares, whole = (np.bincount(clips.label[rows], minlength=8) / len(rows)
                         for rows in (parts["validation"], np.concatenate([parts["train"], parts["validation"]])))
        assert np.abs(shares - whole).max() < 1.5 / len(parts["validation"])        # to within a clip, or a pair


def test_stratified_classes_keep_their_shares(clips):
    fold = splits.assign_folds("stratified", clips, N_FOLDS, seed=42)
    counts = np.array([np.bincount(clips.label[fold == k], minlength=8) for k in range(N_FOLDS)])   # (folds, classes)
    # StratifiedKFold deals classes out to within one recording; the pair adds one clip more.
    assert (np.ptp(counts, axis=0) <= 2).all()


def test_timnet_is_the_split_of_the_record(clips):
    """The same clips are tested as by KFold over the paths in sorted order, written out."""
    paths = sorted(f"Actor_{actor:02d}/{file}" for actor, file in zip(clips.actor, clips.file))
    fold = splits.assign_folds("timnet", clips, N_FOLDS, seed=1)
    for k, (_, test) in enumerate(KFold(n_splits=10, shuffle=True, random_state=46).split(paths)):
        assert {paths[i].split("/")[1] for i in test} == set(clips.file[fold == k])


def test_named_speaker_folds(clips):
    folds = (("emobox", 0, {1, 11, 20, 21}), ("luna_jimenez", 4, {1, 4, 9, 22}), ("loso", 6, {7}))
    for protocol, fold, actors in folds:
        assert set(clips.actor[splits.assign_folds(protocol, clips, N_FOLDS, seed=42) == fold]) == actors


def test_sentences_are_apart(clips):
    parts = first_split("sentence", clips, 0)
    assert set(clips.statement[parts["test"]]) == {1}
    assert set(clips.statement[np.concatenate([parts["train"], parts["validation"]])]) == {2}


@pytest.mark.parametrize("protocol, ensemble_size, sentence", [
    ("stratified", 3, "5-fold stratified by emotion, speaker-dependent, recordings kept whole, seed 42; all "
     "choices on inner validation (10% of training held out, another part by each of 3 members)"),
    ("loso", 1, "leave one speaker out, speaker-independent, seed 42; all choices on inner validation "
     "(10% of training speakers held out)"),
    ("predefined", 3, "the data's own split, seed 42; all choices on inner validation (the data's own; "
     "without any, 10% of training held out)")])
def test_the_protocol_in_words(protocol, ensemble_size, sentence):
    assert splits.protocol_sentence(protocol, N_FOLDS, 42, 0.1, ensemble_size) == sentence


# -- a predefined split ----------------------------------------------------------------------------
def predefined_split(clips, split):
    return {part: set(own) for part, own in first_split("predefined", clips.assign(split=split), 0).items()}


def test_a_predefined_split_is_kept_except_for_twins(clips):
    split = np.where(clips.repetition == 1, "train", np.where(clips.actor > 12, "test", "validation"))
    split[clips.file == TWINS[0]], split[clips.file == TWINS[1]] = "train", "test"
    parts = predefined_split(clips, split)
    split[clips.file == TWINS[0]] = "twin"
    assert parts == {part: set(np.flatnonzero(split == part)) for part in ("train", "validation", "test")}


@pytest.mark.parametrize("tested, apart", [("actor", True), ("statement", False)])
def test_a_predefined_split_without_validation_clips_gets_some_by_its_own_rule(clips, tested, apart):
    """Validation speakers are not in training where the tested ones are not; else they are the same."""
    parts = predefined_split(clips, np.where(clips[tested] == 2, "test", "train"))
    actors = {name: set(clips.actor[list(members)]) for name, members in parts.items()}
    assert len(actors["validation"]) >= 2 and (actors["train"] & actors["validation"] == set()) == apart
    assert 0.04 < len(parts["validation"]) / len(clips) < 0.15


def test_at_least_two_emotions_remain_for_training(clips):
    split = np.where(clips.label == 0, "train", np.where(clips.actor == 1, "test", "validation"))
    with pytest.raises(ValueError, match="no two emotions to train on .without its validation part"):
        predefined_split(clips, split)


def test_a_single_speaker_can_be_trained_on(clips):
    parts = predefined_split(clips, np.where(clips.actor == 1, "train", "test"))
    assert len(parts["validation"]) == 8 and len(parts["train"]) == 52      # at least one of each emotion


@pytest.mark.parametrize("split, says", [("train", "needs both train and test"), (None, "needs a split")])
def test_a_predefined_split_needs_training_and_test_clips(clips, split, says):
    with pytest.raises(ValueError, match=says):
        splits.assign_folds("predefined", clips.assign(split=split) if split else clips, N_FOLDS, seed=0)


def test_a_pair_of_clips_stays_together_whatever_the_seed(clips):
    pair = np.flatnonzero(clips.file.isin(TWINS))
    for seed in range(20):
        of_clip = splits.assign_folds("stratified", clips, N_FOLDS, seed)
        assert of_clip[pair[0]] == of_clip[pair[1]]
        fold = (of_clip[pair[0]] + 1) % N_FOLDS               # where the pair is trained on or validates
        for parts in splits.inner_splits("stratified", fold, of_clip, clips, 0.1, seed, 3):
            assert len({part for part, rows in parts.items() for clip in pair if clip in rows}) == 1


def test_a_twin_of_a_tested_clip_is_not_trained_on(clips):
    """The sentences part the twins: one is tested, and the other is in no part."""
    first, second = np.flatnonzero(clips.file.isin(TWINS))
    parts = first_split("sentence", clips, 0)
    assert first in parts["test"] and second not in np.concatenate(list(parts.values()))


def test_seed_changes_folds_and_each_fold_draws_its_own_validation(clips):
    one, again, other = (splits.assign_folds("stratified", clips, N_FOLDS, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()
    chosen = [set(first_split("stratified", clips, fold, seed=1)["validation"]) for fold in (0, 1)]
    assert chosen[0] != chosen[1]


def test_clips_that_a_protocol_does_not_fit_are_an_error(clips):
    few = clips[clips.label < 2].groupby("label").head(4)
    with pytest.raises(ValueError, match="5 folds need 5 recordings"):
        splits.assign_folds("stratified", few, N_FOLDS, seed=0)
    with pytest.raises(ValueError, match="luna_jimenez folds name all 24 actors.*1, 2"):
        splits.assign_folds("luna_jimenez", clips[clips.actor <= 2], N_FOLDS, seed=0)
    with pytest.raises(ValueError, match="emobox folds name all 24 actors"):
        splits.assign_folds("emobox", clips.assign(actor=clips.actor + 1), N_FOLDS, seed=0)
    with pytest.raises(ValueError, match="at least two speakers, and there is one"):
        splits.assign_folds("speakers", clips[clips.actor <= 1], N_FOLDS, seed=0)
    assert set(splits.assign_folds("speakers", clips[clips.actor <= 3], N_FOLDS, seed=0)) == {0, 1, 2}
    with pytest.raises(ValueError, match="sentence needs at least two"):
        splits.assign_folds("sentence", clips[clips.statement == 1], N_FOLDS, seed=0)
    of_two_corpora = clips.assign(statement=clips.statement.where(clips.actor > 3, "a05").astype(object))
    assert set(splits.assign_folds("sentence", of_two_corpora, N_FOLDS, seed=0)) == {0, 1, 2}


# -- the members of an ensemble --------------------------------------------------------------------
@pytest.mark.parametrize("protocol", FOLD_COUNTS)
def test_members_hold_out_different_clips_of_the_same_training_part(clips, protocol):
    for fold in range(FOLD_COUNTS[protocol]):
        members = member_splits(protocol, clips, fold)
        trained_on = [set(parts["train"]) | set(parts["validation"]) for parts in members]
        assert trained_on[0] == trained_on[1] == trained_on[2]
        assert all((parts["test"] == members[0]["test"]).all() for parts in members)
        held_out = np.concatenate([parts["validation"] for parts in members])
        assert len(set(held_out)) == len(held_out) and sorted(held_out) == list(splits.validation_indices(members))
        column = "actor" if protocol in SPEAKER_INDEPENDENT else "recording"
        groups = [set(clips[column][parts["validation"]]) for parts in members]
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_the_first_member_does_not_depend_on_how_many_there_are(clips):
    for number in (1, 2, 5):
        assert (member_splits("stratified", clips, 0, ensemble_size=number)[0]["validation"]
                == first_split("stratified", clips, 0)["validation"]).all()


def test_where_there_is_too_little_for_all_members_draws_begin_again():
    """Three speakers, one tested: two are left, and each of three members trains on one of them."""
    clips = pd.DataFrame(dict(actor=np.repeat([1, 2, 3], 8), label=np.tile([0, 1], 12), recording=range(24)))
    members = member_splits("loso", clips, 0)
    alone = [set(clips.actor[parts["validation"]]) for parts in members]
    assert alone[0] | alone[1] == {2, 3} and len(alone[0]) == len(alone[1]) == len(alone[2]) == 1
    assert all(set(clips.actor[parts["train"]]) == {2, 3} - out for parts, out in zip(members, alone))


def test_an_out_of_fold_prediction_is_the_mean_of_the_members_that_held_the_clip_out():
    members = [dict(train=np.array([2, 3]), validation=np.array([0, 5]), test=np.array([4])),
               dict(train=np.array([0, 2]), validation=np.array([3, 5]), test=np.array([4]))]
    predicted = [np.array([[1.0, 0.0], [0.2, 0.8]]), np.array([[0.5, 0.5], [0.6, 0.4]])]
    mean = splits.out_of_fold_mean(members, predicted)
    assert list(splits.validation_indices(members)) == [0, 3, 5]
    assert np.allclose(mean, [[1, 0], [0.5, 0.5], [0.4, 0.6]])
    assert list(splits.split_names(members, 7)) == [
        "validation 1", "", "train", "validation 2", "test", "validation", ""]


def test_an_emotion_with_too_few_recordings_is_named(clips):
    few = clips.assign(emotion=clips.label.map(str).replace("3", "awe"))
    few = pd.concat([few[few.emotion != "awe"], few[few.emotion == "awe"][:1]], ignore_index=True)
    with pytest.raises(ValueError, match="5 folds need 5 recordings of every emotion, and awe has 1"):
        splits.assign_folds("stratified", few, N_FOLDS, 42)
    few["split"] = np.where(few.actor == 24, "test", "train")
    few.loc[few.emotion == "awe", "split"] = "train"
    fold_of_clip = np.where((few.split == "test") & (few.index % 5 == 0), 0, -1)        # actor 24 is trained on, too
    with pytest.raises(ValueError, match="fold 0 needs two recordings of every emotion to train on, and awe has 1"):
        splits.inner_splits("predefined", 0, fold_of_clip, few, 0.1, 42, 1)
