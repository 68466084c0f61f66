"""The protocols: who is tested, who is trained on, who decides."""
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

import config
from ser import splits

N_FOLDS = 5
TWINS = ("03-01-03-01-01-02-07.wav", "03-01-03-01-02-02-07.wav")       # identical in RAVDESS: two sentences, by name
NUMBER = dict(stratified=N_FOLDS, timnet=10, emobox=6, luna=5, loso=24, sentence=2, speakers=N_FOLDS)      # of folds


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


def members_of(cv, clips, fold, seed=42, share=0.1, members=3):
    return splits.inner_splits(cv, fold, splits.assign_folds(cv, clips, N_FOLDS, seed), clips, share, seed, members)


def parts_of(cv, clips, fold, seed=42, share=0.1):
    return members_of(cv, clips, fold, seed, share)[0]


@pytest.mark.parametrize("cv", NUMBER)
def test_every_clip_is_tested_once_in_the_right_number_of_folds(clips, cv):
    fold = splits.assign_folds(cv, clips, N_FOLDS, seed=42)
    assert len(fold) == len(clips) == 1440 and set(fold) == set(range(NUMBER[cv]))


@pytest.mark.parametrize("cv", NUMBER)
def test_parts_are_disjoint_and_lose_at_most_a_twin(clips, cv):
    for parts in (parts for fold in range(NUMBER[cv]) for parts in members_of(cv, clips, fold)):
        together = np.concatenate(list(parts.values()))
        assert len(set(together)) == len(together) >= len(clips) - 1
        recordings = {name: set(clips.recording[own]) for name, own in parts.items()}
        assert not recordings["train"] & recordings["validation"]
        assert not (recordings["train"] | recordings["validation"]) & recordings["test"]


@pytest.mark.parametrize("cv", splits.UNSEEN_SPEAKERS)
def test_where_speakers_are_unseen_those_of_validation_are_too(clips, cv):
    for parts in (parts for fold in range(NUMBER[cv]) for parts in members_of(cv, clips, fold)):
        actors = {name: set(clips.actor[own]) for name, own in parts.items()}
        assert not actors["train"] & actors["validation"] and len(actors["validation"]) >= 2
        assert not (actors["train"] | actors["validation"]) & actors["test"]


@pytest.mark.parametrize("cv", ["stratified", "timnet", "sentence"])
def test_where_speakers_are_known_validation_is_stratified(clips, cv):
    for fold in range(NUMBER[cv]):
        parts = parts_of(cv, clips, fold)
        training = len(parts["train"]) + len(parts["validation"])
        assert abs(len(parts["validation"]) / training - 0.1) < 0.005
        shares, whole = (np.bincount(clips.label[members], minlength=8) / len(members)
                         for members in (parts["validation"], np.concatenate([parts["train"], parts["validation"]])))
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
    for cv, fold, actors in (("emobox", 0, {1, 11, 20, 21}), ("luna", 4, {1, 4, 9, 22}), ("loso", 6, {7})):
        assert set(clips.actor[splits.assign_folds(cv, clips, N_FOLDS, seed=42) == fold]) == actors


def test_sentences_are_apart(clips):
    parts = parts_of("sentence", clips, 0)
    assert set(clips.statement[parts["test"]]) == {1}
    assert set(clips.statement[np.concatenate([parts["train"], parts["validation"]])]) == {2}


# -- a split of one's own --------------------------------------------------------------------------
def given(clips, split):
    clips = clips.assign(split=split)
    assert set(config.PROTOCOLS) == {*NUMBER, "given"}
    return {name: set(members) for name, members in parts_of("given", clips, 0).items()}


def test_a_given_split_is_kept_but_for_twins(clips):
    split = np.where(clips.repetition == 1, "train", np.where(clips.actor > 12, "test", "validation"))
    split[clips.file == TWINS[0]], split[clips.file == TWINS[1]] = "train", "test"
    parts = given(clips, split)
    split[clips.file == TWINS[0]] = "twin"
    assert parts == {part: set(np.flatnonzero(split == part)) for part in ("train", "validation", "test")}


@pytest.mark.parametrize("tested, apart", [("actor", True), ("statement", False)])
def test_a_given_split_without_validation_clips_gets_some_by_its_own_rule(clips, tested, apart):
    """Where the tested speakers are unseen those of validation are; else they are the same."""
    parts = given(clips, np.where(clips[tested] == 2, "test", "train"))
    actors = {name: set(clips.actor[list(members)]) for name, members in parts.items()}
    assert len(actors["validation"]) >= 2 and (actors["train"] & actors["validation"] == set()) == apart
    assert 0.04 < len(parts["validation"]) / len(clips) < 0.15


def test_what_validation_leaves_must_be_two_emotions(clips):
    split = np.where(clips.label == 0, "train", np.where(clips.actor == 1, "test", "validation"))
    with pytest.raises(ValueError, match="no two emotions to train on .without its validation part"):
        given(clips, split)


def test_a_single_voice_can_be_trained_on(clips):
    parts = given(clips, np.where(clips.actor == 1, "train", "test"))
    assert len(parts["validation"]) == 8 and len(parts["train"]) == 52      # at least one of each emotion


@pytest.mark.parametrize("split, says", [("train", "needs both train and test"), (None, "needs a split")])
def test_a_given_split_must_be_one(clips, split, says):
    with pytest.raises(ValueError, match=says):
        splits.assign_folds("given", clips.assign(split=split) if split else clips, N_FOLDS, seed=0)


def test_a_pair_of_clips_stays_together_whatever_the_seed(clips):
    pair = np.flatnonzero(clips.file.isin(TWINS))
    for seed in range(20):
        of_clip = splits.assign_folds("stratified", clips, N_FOLDS, seed)
        assert of_clip[pair[0]] == of_clip[pair[1]]
        fold = (of_clip[pair[0]] + 1) % N_FOLDS               # where the pair is trained on or validates
        for parts in splits.inner_splits("stratified", fold, of_clip, clips, 0.1, seed, 3):
            assert len({name for name, members in parts.items() for clip in pair if clip in members}) == 1


def test_a_twin_of_a_tested_clip_is_not_trained_on(clips):
    """The sentences part the twins: one is tested, and the other is in no part."""
    first, second = np.flatnonzero(clips.file.isin(TWINS))
    parts = parts_of("sentence", clips, 0)
    assert first in parts["test"] and second not in np.concatenate(list(parts.values()))


def test_seed_changes_folds_and_each_fold_draws_its_own_validation(clips):
    one, again, other = (splits.assign_folds("stratified", clips, N_FOLDS, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()
    chosen = [set(parts_of("stratified", clips, fold, seed=1)["validation"]) for fold in (0, 1)]
    assert chosen[0] != chosen[1]


def test_clips_that_a_protocol_does_not_fit_are_said(clips):
    few = clips[clips.label < 2].groupby("label").head(4)
    with pytest.raises(ValueError, match="5 folds need 5 recordings"):
        splits.assign_folds("stratified", few, N_FOLDS, seed=0)
    with pytest.raises(ValueError, match="luna folds name all 24 actors.*1, 2"):
        splits.assign_folds("luna", clips[clips.actor <= 2], N_FOLDS, seed=0)
    with pytest.raises(ValueError, match="emobox folds name all 24 actors"):
        splits.assign_folds("emobox", clips.assign(actor=clips.actor + 1), N_FOLDS, seed=0)
    with pytest.raises(ValueError, match="5 folds of speakers need as many speakers, and there are 2"):
        splits.assign_folds("speakers", clips[clips.actor <= 2], N_FOLDS, seed=0)
    with pytest.raises(ValueError, match="sentence needs at least two"):
        splits.assign_folds("sentence", clips[clips.statement == 1], N_FOLDS, seed=0)


# -- the members of a fit --------------------------------------------------------------------------
@pytest.mark.parametrize("cv", NUMBER)
def test_members_leave_out_other_clips_of_the_same_training_part(clips, cv):
    for fold in range(NUMBER[cv]):
        members = members_of(cv, clips, fold)
        trained_on = [set(parts["train"]) | set(parts["validation"]) for parts in members]
        assert trained_on[0] == trained_on[1] == trained_on[2]
        assert all((parts["test"] == members[0]["test"]).all() for parts in members)
        left_out = np.concatenate([parts["validation"] for parts in members])
        assert len(set(left_out)) == len(left_out) and sorted(left_out) == list(splits.validation_indices(members))
        column = "recording" if cv not in splits.UNSEEN_SPEAKERS else "actor"
        groups = [set(clips[column][parts["validation"]]) for parts in members]
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_the_first_member_does_not_depend_on_how_many_there_are(clips):
    for number in (1, 2, 5):
        assert (members_of("stratified", clips, 0, members=number)[0]["validation"]
                == parts_of("stratified", clips, 0)["validation"]).all()


def test_where_there_is_too_little_for_all_members_draws_begin_again():
    """Three speakers, one tested: two are left, and each of three members trains on one of them."""
    clips = pd.DataFrame(dict(actor=np.repeat([1, 2, 3], 8), label=np.tile([0, 1], 12), recording=range(24)))
    members = members_of("loso", clips, 0)
    alone = [set(clips.actor[parts["validation"]]) for parts in members]
    assert alone[0] | alone[1] == {2, 3} and len(alone[0]) == len(alone[1]) == len(alone[2]) == 1
    assert all(set(clips.actor[parts["train"]]) == {2, 3} - out for parts, out in zip(members, alone))


def test_a_left_out_clip_has_the_mean_of_those_that_left_it_out():
    members = [dict(train=np.array([2, 3]), validation=np.array([0, 5]), test=np.array([4])),
               dict(train=np.array([0, 2]), validation=np.array([3, 5]), test=np.array([4]))]
    predicted = [np.array([[1.0, 0.0], [0.2, 0.8]]), np.array([[0.5, 0.5], [0.6, 0.4]])]
    voted = splits.out_of_fold_mean(members, predicted)
    assert list(splits.validation_indices(members)) == [0, 3, 5]
    assert np.allclose(voted, [[1, 0], [0.5, 0.5], [0.4, 0.6]])
    assert list(splits.split_names(members, 7)) == [
        "validation 1", "", "train", "validation 2", "test", "validation", ""]
