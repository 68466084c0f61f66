"""The time left, from hand-made times; the line of a fit."""
import heapq
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import config
from ser.terminal import WIDTH
from study import printed
from study.progress import Progress, expected_cost, fit_line

COLUMNS = {"mfcc": 40, "mel": 128, "gauss": 40, "all": 208}


def task(model, feature="mfcc", fold=0, members=3, clips=1036):
    """What the estimate looks at."""
    row = config.MODELS[model]
    return SimpleNamespace(
        name=f"{feature}-{model}-fold{fold}", feature=feature, model=model, fold=fold,
        weights=np.ones(COLUMNS[feature]), on_functionals=row.input == "functionals",
        hyperparameters={"epochs": row.epochs} if row.is_network else {},
        member_splits=[{"train": range(clips)}] * members)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def begin(tasks, jobs, costs=None):
    clock = Clock()
    return Progress(tasks, costs or {task.name: 1 for task in tasks}, jobs, clock), clock


def test_fits_already_timed_say_how_long_the_others_of_their_kind_take():
    folds = [task(model, fold=fold) for fold in range(3) for model in ("cnn1d", "svm")]
    progress, clock = begin(folds, 1)
    for number, seconds in enumerate((100, 2)):
        clock.now += seconds
        progress.finish(folds[number], seconds)
    assert progress.seconds_left() == 2 * 100 + 2 * 2
    clock.now += 30                                     # of the next CNN
    assert progress.seconds_left() == 70 + 2 + 100 + 2


def test_jobs_side_by_side_end_when_the_last_of_them_does():
    tasks = [task("cnn1d", fold=fold) for fold in range(5)]
    progress, clock = begin(tasks, 2)
    clock.now = 100
    progress.finish(tasks[0], 100)
    progress.finish(tasks[1], 100)
    assert progress.seconds_left() == 200               # three are left: two, then one alone


def test_a_fit_that_takes_longer_than_expected_is_not_finished_yet():
    tasks = [task("cnn1d", fold=fold) for fold in range(2)]
    progress, clock = begin(tasks, 1)
    clock.now = 100
    progress.finish(tasks[0], 100)
    clock.now = 300
    assert progress.seconds_left() == pytest.approx(0.1 * 200)


def test_nothing_left_takes_no_time():
    one = task("cnn1d")
    progress, clock = begin([one], 2)
    progress.finish(one, 5)
    assert progress.seconds_left() == 0


def test_fits_not_timed_yet_take_as_long_as_their_cost_says():
    """An MLP takes less than a CNN, an SVM less than either; more columns, epochs and members take longer."""
    costs = {model: expected_cost(task(model), 5) for model in config.MODELS}
    assert costs["cnn1d"] > costs["mlp"] > costs["dtw"] > costs["svm"] > 0
    assert expected_cost(task("cnn1d", members=1), 5) == pytest.approx(costs["cnn1d"] / 3)
    assert expected_cost(task("mlp", "all"), 5) > 1.5 * costs["mlp"]
    assert expected_cost(task("cnn1d"), 1) < costs["cnn1d"]
    first, other, same_model = task("cnn1d"), task("mlp"), task("cnn1d", "mel")
    tasks = [first, other, same_model]
    costs = {one.name: expected_cost(one, 5) for one in tasks}
    progress, clock = begin(tasks, 1, costs)
    progress.finish(first, 100)
    for one in (other, same_model):
        assert progress.expected_seconds(one) == pytest.approx(100 * costs[one.name] / costs[first.name])
    progress.finish(other, 7)                           # of the same model on another feature: before any other
    assert progress.expected_seconds(same_model) == pytest.approx(100 * costs[same_model.name] / costs[first.name])


SECONDS = {                 # of a fit on RAVDESS: mean over folds, of the published run
    "mfcc": dict(cnn1d=224, bilstm=189, hybrid=158, mlp=96, svm=1.4, dtw=20),
    "mel": dict(cnn1d=240, bilstm=217, hybrid=166, mlp=154, svm=2.1, dtw=32),
    "gauss": dict(cnn1d=213, bilstm=183, hybrid=152, mlp=97, svm=1.3, dtw=19),
    "all": dict(mlp=229, svm=3.6)}


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_the_estimate_of_a_whole_study_is_within_30_per_cent(jobs):
    """The fits one after another, each up to a fifth longer or shorter than usual, until a tenth of the time is left:
    how long the last one or two take is chance."""
    tasks = [task(model, feature, fold) for fold in range(5) for feature, models in SECONDS.items() for model in models]
    rng = np.random.default_rng(0)
    seconds = {one.name: SECONDS[one.feature][one.model] * rng.uniform(0.8, 1.2) for one in tasks}
    progress, clock = begin(tasks, jobs, {one.name: expected_cost(one, 5) for one in tasks})
    waiting, running, said = list(tasks), [], []
    while waiting or running:
        while waiting and len(running) < jobs:
            one = waiting.pop(0)
            heapq.heappush(running, (clock.now + seconds[one.name], one.name, one))
        clock.now, name, one = heapq.heappop(running)
        progress.finish(one, seconds[name])
        said.append((clock.now, progress.seconds_left()))
    errors = [left / (clock.now - now) - 1 for now, left in said if clock.now - now > clock.now / 10]
    assert len(tasks) == 100 and len(errors) > 80 and max(map(abs, errors)) < 0.3


# -- the line of a fit -------------------------------------------------------------------------------
SUMMARY = dict(accuracy=0.617, weighted_f1=0.563, best_epoch=14, epochs=14, fit_seconds=128.4)


def test_a_fit_is_a_line_with_the_time_left_if_it_is_worth_saying():
    one = task("cnn1d")
    assert fit_line("[2/12]", one, SUMMARY, 290) == (
        "[2/12] mfcc cnn1d fold 0: accuracy 61.7%, weighted F1 56.3%, 2 min 8 s; about 5 min left")
    assert fit_line("[2/12]", one, SUMMARY, 3).endswith("56.3%, 2 min 8 s")
    assert "epoch 9 of 14" in fit_line("[2/12]", one, SUMMARY | {"best_epoch": 9}, 3)
    final = SimpleNamespace(feature="mfcc", model="svm", fold="final")
    assert fit_line("[1/1]", final, {"fit_seconds": 0.31}, 0) == "[1/1] mfcc svm final: 0.3 s"


def test_the_line_of_a_fit_is_never_wider_than_the_terminal():
    one = SimpleNamespace(feature="whisper_frames", model="bilstm", fold=10)
    line = fit_line("[100/100]", one, SUMMARY | {"best_epoch": 9}, 4200)
    assert len(line) <= WIDTH and line.endswith("2 min 8 s; about 1 h 10 min left") and "accuracy 61.7%" in line


# -- the table at the end ----------------------------------------------------------------------------
def summary_row(feature, model, folds, **changes):
    numbers = dict(accuracy_mean=0.9, uar_mean=0.85, weighted_f1_mean=0.88, accuracy_low=0.8, accuracy_high=1.0,
                   fit_seconds=5000.0, parameters=123_456_789, p_against_best=0.5 if folds > 1 else np.nan)
    stds = {f"{name}_std": 0.123 if folds > 1 else np.nan for name in ("accuracy", "uar", "weighted_f1")}
    return dict(feature=feature, model=model, folds=folds, **numbers, **stds) | changes


def printed_summary(rows, capsys):
    clips = pd.DataFrame(dict(file=["a"]))
    plan = SimpleNamespace(protocol="a protocol in words", folds=[None] * 5, classes=("sad", "happy"), clips=clips)
    printed.print_summary(pd.DataFrame(rows), plan, clips, 75)
    return capsys.readouterr().out.splitlines()


def test_a_single_fold_has_no_standard_deviation_and_no_test(capsys):
    lines = printed_summary([summary_row("mfcc", "svm", 1, accuracy_low=np.nan, accuracy_high=np.nan)], capsys)
    text = "\n".join(lines)
    assert "nan" not in text and "+-" not in text and " p " not in text and "of a single fold (of 5)" in text
    assert "this command took 1 min 15 s" in text.replace("\n  ", " ")


def test_long_names_and_numbers_leave_the_table_within_the_terminal(capsys):
    """What finds no room is left out, and where it is found is said."""
    lines = printed_summary([summary_row("whisper_frames", "my_longest_network", 10)], capsys)
    assert max(map(len, lines)) <= WIDTH and "see summary.csv" in " ".join(lines) and "parameters" not in lines[2]
    short = printed_summary([summary_row("mfcc", "svm", 5, parameters=1_234_567)], capsys)
    assert max(map(len, short)) <= WIDTH and "parameters" in short[2] and "summary.csv" not in " ".join(short)
