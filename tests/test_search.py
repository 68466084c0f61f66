"""The random search: what a trial tries, and that test clips take no part."""
import json
import math
import shutil
import subprocess

import matplotlib
import numpy as np
import pandas as pd
import pytest
from commands import run
from sounds import write

import config
from data_preprocessing import extraction_params
from ser import corpora, demo_corpus, search, search_plots, splits
from ser.errors import UserError
from ser.plots import STYLE
from ser.settings import Range, read_settings, validate
from ser.terminal import WIDTH
from study import printed
from study import search as study_search

SETTINGS = read_settings(config)


# -- what a trial tries ------------------------------------------------------------------------------
def draws(choices, n=400):
    rng = np.random.default_rng(0)
    return [search.draw(choices, rng) for _ in range(n)]


def test_values_lie_within_the_range_evenly_on_its_scale():
    linear, log = draws(Range(0.0, 0.4)), draws(Range(1e-3, 1e-1, "log"))
    assert 0 <= min(linear) < 0.02 and 0.38 < max(linear) <= 0.4 and abs(np.median(linear) - 0.2) < 0.04
    assert 1e-3 <= min(log) and max(log) <= 1e-1 and abs(np.log10(np.median(log)) + 2) < 0.2
    assert all(value == float(f"{value:.3g}") for value in linear + log)


def test_whole_ends_give_whole_numbers_and_a_tuple_its_values():
    assert set(draws(Range(2, 5))) == {2, 3, 4, 5} and {type(value) for value in draws(Range(1, 64, "log"))} == {int}
    assert set(draws((0, None, "cosine"))) == {0, None, "cosine"}


def test_a_trial_is_the_same_however_many_there_are_and_whatever_else_is_searched():
    table = {"MIXUP_ALPHA": (0, 0.1, 0.2, 0.4), "WEIGHT_DECAY": Range(1e-3, 1e-1, "log")}
    trials = [search.trial_values(k, table, 42) for k in range(20)]
    assert trials[0] == {} and all(set(trial) == set(table) for trial in trials[1:])
    assert len({trial["WEIGHT_DECAY"] for trial in trials[1:]}) == 19
    fewer = {"WEIGHT_DECAY": table["WEIGHT_DECAY"]}
    assert [search.trial_values(k, fewer, 42) for k in range(1, 20)] == [
        {"WEIGHT_DECAY": trial["WEIGHT_DECAY"]} for trial in trials[1:]]
    assert search.trial_values(3, table, 43) != trials[3]


@pytest.mark.parametrize("choices", [Range(2, 1), Range(0.0, 1.0, "log"), Range(0, 1, "cubic"), Range("a", 1), (), 0.3])
def test_a_table_that_cannot_be_drawn_from_is_named(choices):
    with pytest.raises(UserError, match="SEARCH is not usable: SVM_C: "):
        validate(SETTINGS.replace(SEARCH={"SVM_C": choices}), only=("SEARCH",))
    validate(SETTINGS, only=("SEARCH",))


def searched(models, table=config.SEARCH, names=("mfcc",)):
    settings = SETTINGS.replace(SEARCH=table)
    return study_search.searched(settings, models, names, extraction_params(settings, names))


def test_settings_that_a_model_does_not_use_are_left_out():
    assert list(searched(["svm"])[0]) == ["SVM_C"] and "MIXUP_ALPHA" in searched(["svm"])[1]
    networks = set(searched(["cnn1d", "svm"])[0])
    assert {"SVM_C", "MIXUP_ALPHA", "MODELS.cnn1d.learning_rate"} <= networks and "LINEAR_PENALTY" not in networks
    assert "MODELS.mlp.learning_rate" not in networks
    decay = {"CEPSTRAL_DECAY": (8.0, None), "SVM_C": (1.0, 3.0)}
    assert set(searched(["svm"], decay)[0]) == set(decay)
    assert set(searched(["svm"], decay, names=("mel",))[0]) == {"SVM_C"}


@pytest.mark.parametrize("table, words", [
    ({"SVM_C": (1.0, -3)}, r"SEARCH: --set: SVM_C = -3 is not"),
    ({"SVM_D": (1.0, 3)}, "'SVM_D' is none"),
    ({"N_MFCC": (13, 40)}, "N_MFCC changes the features"),
    ({"MIXUP_ALPHA": (0, 0.1)}, "no setting of SEARCH in config.py makes a difference to svm"),
])
def test_what_cannot_be_searched_is_named(table, words):
    with pytest.raises(UserError, match=words):
        searched(["svm"], table)


# -- test clips take no part -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def demo_clips(tmp_path_factory):
    """Table of 120 clips of four speakers."""
    folder = tmp_path_factory.mktemp("demo")
    demo_corpus.write_corpus(folder)
    clips = corpora.find_corpus(folder).clips
    return clips.assign(recording=clips.file)


@pytest.mark.parametrize("protocol", ["stratified", "speakers", "loso", "sentence"])
@pytest.mark.parametrize("fold", [0, 1])
def test_what_a_search_is_given_has_no_test_clip(demo_clips, protocol, fold):
    settings = SETTINGS.replace(N_FOLDS=2, ENSEMBLE_SIZE=2, VALIDATION_FRACTION=0.2)
    given = study_search.training_clips(protocol, demo_clips, settings, fold)
    fold_of_clip = splits.assign_folds(protocol, demo_clips, 2, settings.SEED)
    tested = set(demo_clips.file[fold_of_clip == fold])
    assert tested and not tested & set(given.clips.file) and list(given.clips.index) == list(range(len(given.clips)))
    assert set(given.member_splits) == {7, 8}
    validated = {}
    for seed, members in given.member_splits.items():
        expected = splits.inner_splits(protocol, fold, fold_of_clip, demo_clips, 0.2, seed, 2)
        for own, other in zip(members, expected, strict=True):
            assert len(own["test"]) == 0
            for part in ("train", "validation"):
                assert list(given.clips.file[own[part]]) == list(demo_clips.file[other[part]])
        validated[seed] = {given.clips.file[clip] for split in members for clip in split["validation"]}
    assert validated[7] != validated[8] or protocol != "stratified"


def test_a_fold_that_is_not_there_is_named(demo_clips):
    with pytest.raises(UserError, match=r"--folds: 5 is not within 0\.\.1"):
        study_search.training_clips("stratified", demo_clips, SETTINGS.replace(N_FOLDS=2), 5)


# -- the real command --------------------------------------------------------------------------------
def write_manifest(folder, rows):
    (folder / "mine.csv").write_text("\n".join(["path,emotion,speaker,split", *rows]))


@pytest.fixture(scope="module")
def searched_folder(tmp_path_factory):
    """Folder with two speakers to train on and one to test on, four emotions, where `--search 3` has run."""
    folder = tmp_path_factory.mktemp("searched")
    demo_corpus.write_corpus(folder / "demo", actors=3, intensities=(1,))
    clips = corpora.find_corpus(folder / "demo").clips.query("emotion in ('happy', 'sad', 'angry', 'calm')")
    write_manifest(folder, [f"demo/Actor_{clip.actor:02d}/{clip.file},{clip.emotion},voice {clip.actor},"
                            f"{'test' if clip.actor == 3 else 'train'}" for clip in clips.itertuples()])
    return folder, search_in(folder, 3)


def search_in(folder, n, *more):
    done = run("train.py", "--data-dir", "mine.csv", "--models", "svm", "--features", "mfcc", "--search", n, "--set",
               "ENSEMBLE_SIZE=1", "--set", "N_AUGMENTED=1", "--jobs", 2, *more, cwd=folder)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def results(folder):
    return pd.read_csv(folder / "results/default-mine-predefined-search/trials.csv").drop(columns="seconds")


def test_a_search_says_what_it_does_and_what_was_best(searched_folder):
    folder, text = searched_folder
    assert max(map(len, text.splitlines())) <= WIDTH and "nan" not in text
    flat = " ".join(text.split())
    assert "3 trials of 1 setting, of svm on mfcc" in flat and "on the 16 training clips of fold 0" in flat
    assert "its other 8 clips take no part" in flat and "a difference smaller than that is no difference" in flat
    table = results(folder)
    assert list(table.trial) == [0, 1, 2] and table.SVM_C[0] == config.SVM_C and table.SVM_C.nunique() == 3
    assert np.allclose(table.accuracy, table[["accuracy_7", "accuracy_8"]].mean(axis=1), atol=1e-6)
    assert np.allclose(table.nll, table[["nll_7", "nll_8"]].mean(axis=1), atol=1e-6) and (table.nll > 0).all()
    for trial in (1, 2):
        assert f"trial {trial}:\n  --set SVM_C={table.SVM_C[trial]}\n" in text
    out = folder / "results/default-mine-predefined-search"
    assert (out / "search.png").stat().st_size > 10_000
    assert not (folder / "results/default-mine-predefined").exists()
    cached, = folder.glob("cache/features-*")
    assert len(np.load(cached / "lengths.npy")) == 16                       # no feature of a test clip was extracted
    assert json.loads((out / "config.json").read_text())["cache_entries"] == [cached.name]


def test_a_search_goes_on_where_it_was(searched_folder, tmp_path):
    """What is finished is read back, a cut file is made again, and more trials leave the first as they are."""
    folder = shutil.copytree(searched_folder[0], tmp_path / "copy")
    before = results(folder)
    files = sorted((folder / "results/default-mine-predefined-search/trials").iterdir())
    times = {path: path.stat().st_mtime_ns for path in files}
    files[1].write_text(files[1].read_text()[:-20])
    text = search_in(folder, 4)
    assert text.count("validation accuracy ") == 1 + 3 and "[8/8]" in text  # a line each, and that below the table
    after = results(folder)
    pd.testing.assert_frame_equal(after[:3], before)
    assert len(after) == 4
    assert {path for path in files if path.stat().st_mtime_ns != times[path]} == {files[1]}


def test_the_sound_and_the_labels_of_test_clips_change_no_digit(searched_folder, tmp_path):
    folder = shutil.copytree(searched_folder[0], tmp_path / "copy", ignore=shutil.ignore_patterns("results", "cache"))
    rows, rng = (folder / "mine.csv").read_text().splitlines()[1:], np.random.default_rng(0)
    changed = []
    for number, row in enumerate(rows):
        path, emotion, speaker, split = row.split(",")
        if split == "test":
            write(folder, path, rng.uniform(-0.5, 0.5, 30_000 + number))
            emotion = "happy" if emotion != "happy" else "sad"
        changed.append(f"{path},{emotion},{speaker},{split}")
    assert changed != rows
    write_manifest(folder, changed)
    search_in(folder, 3)
    pd.testing.assert_frame_equal(results(folder), results(searched_folder[0]), check_exact=True)


@pytest.mark.parametrize("words, says", [
    (["--search", "3", "--seed", "7"], "--search tries its settings on seeds 7 and 8: report on another --seed"),
    (["--search", "3", "--set", "SEED=8"], "--search tries its settings on seeds 7 and 8"),
])
def test_the_seeds_of_the_search_are_not_those_that_are_reported(words, says):
    import train
    with pytest.raises(UserError, match=says):
        train.resolve_settings(train.parse(words))


@pytest.mark.parametrize("more", [["--final"], ["--folds", "0", "1"], ["--tensorboard"]])
def test_flags_that_a_search_has_no_use_for_are_refused(more, capsys):
    import train
    with pytest.raises(SystemExit):
        train.parse(["--search", "3", *more])
    assert "--search N: at least 1, on one fold" in capsys.readouterr().err


# -- what came out -----------------------------------------------------------------------------------
def trials(n=8):
    """Made by hand: accuracy rises with the number; seeds lie 2 points apart."""
    rows = [dict(trial=k, SVM_C=10.0 * (k + 1), MIXUP_ALPHA=[0.2, 0, None][k % 3], accuracy_7=0.5 + k / 100,
                 accuracy_8=0.52 + k / 100, accuracy=0.51 + k / 100, nll=1 - k / 100) for k in range(n)]
    return pd.DataFrame(rows).assign(MIXUP_ALPHA=pd.Series([row["MIXUP_ALPHA"] for row in rows], dtype=object))


TABLE = {"SVM_C": Range(1, 100.0, "log"), "MIXUP_ALPHA": (0, None)}


def test_the_scores_of_a_trial_are_those_of_its_probabilities():
    table = pd.DataFrame(dict(true=["a", "b", "a", "b"], predicted=["a", "b", "b", "b"], p_a=[0.5, 0.25, 0.25, 0.5],
                              p_b=[0.5, 0.75, 0.75, 0.5]))
    scores = search.validation_scores(table)
    assert scores["accuracy"] == 0.75
    assert scores["nll"] == pytest.approx(-(math.log(0.5) + math.log(0.75) + math.log(0.25) + math.log(0.5)) / 4)


def test_the_best_come_first_and_equals_by_their_loss():
    table = trials(4).assign(accuracy=[0.5, 0.6, 0.6, 0.4], nll=[1, 2, 1.5, 0])
    assert list(search.best_first(table).trial) == [2, 1, 0, 3]
    assert search.seed_spread(trials(), ["accuracy_7", "accuracy_8"]) == pytest.approx(0.02)


def test_the_best_five_are_printed_with_the_flags_to_copy(capsys):
    printed.print_search(trials(), TABLE, (7, 8))
    text = capsys.readouterr().out
    assert "trial 7:\n  --set SVM_C=80.0 --set MIXUP_ALPHA=0\n" in text and "trial 2" not in text
    assert "trial 5:\n  --set SVM_C=60.0 --set MIXUP_ALPHA=None\n" in text
    assert "the present settings are number 8" in " ".join(text.split()) and "by 2.0 points" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= WIDTH


def test_flags_are_one_command_for_a_shell_however_many_they_are(capsys):
    values = {f"SETTING_NUMBER_{k}": k / 7 for k in range(20)} | {"TEXT": "two words; and more"}
    text = printed.flags_to_copy(values)
    assert max(map(len, f"  {text}".splitlines())) <= WIDTH and len(text.splitlines()) > 5
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True).stdout.splitlines()
    assert words == [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def test_the_picture_has_a_dot_for_each_trial_at_its_value():
    with matplotlib.rc_context(STYLE):
        figure = search_plots.search_dots(trials(), TABLE, "Search")
        figure.canvas.draw()
    for ax, values in zip(figure.axes, (10.0 * np.arange(1, 9), [2, 0, 1, 2, 0, 1, 2, 0])):
        dots = np.concatenate([dots.get_offsets() for dots in ax.collections[1:3]])         # present settings: again
        dots = dots[np.argsort(dots[:, 1])]
        assert np.allclose(dots[:, 1], 51 + np.arange(8)) and np.allclose(dots[:, 0], values, atol=0.15)
        present = ax.collections[3].get_offsets()
        assert len(present) == 1 and present[0, 1] == 51
    assert figure.axes[0].get_xscale() == "log"
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["0", "None", "0.2"]
