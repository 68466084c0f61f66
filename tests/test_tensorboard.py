"""Event files: read by TensorFlow's own reader, and by TensorBoard's where it is installed."""
import json
import math

import numpy as np
import pandas as pd
import pytest

from study import runs, tensorboard

SUMMARY = dict(accuracy=0.75, uar=0.7, weighted_f1=0.72, macro_f1=0.69, validation_accuracy=0.8, temperature=1.5,
               calibration_error=0.1, calibration_error_after=0.05, fit_seconds=12.5, fit_id="0123456789abcdef")
HISTORY = pd.DataFrame(dict(
    epoch=[1, 2, 1, 2], loss=[2.0, 1.5, 2.1, 1.4], accuracy=[0.2, 0.4, 0.1, 0.5], val_loss=[2.0, 1.8, math.nan, 1.7],
    val_accuracy=[0.2, 0.3, math.nan, 0.4], val_score=0.1, learning_rate=[0.01, 0.005] * 2, seconds=[3.0, 1, 2, 1],
    kept=[0, 1, 0, 1], member=[0, 0, 1, 1]))


@pytest.fixture
def read(one_thread):
    """read(path): [(tag, step, value, time), ...] by TensorFlow, which checks every checksum."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    def read(path):
        events = [event_pb2.Event.FromString(raw.numpy()) for raw in tf.data.TFRecordDataset(str(path))]
        assert events[0].file_version == "brain.Event:2"
        return [(value.tag, event.step, value.simple_value, event.wall_time)
                for event in events[1:] for value in event.summary.value]

    return read


def test_what_is_written_is_what_is_read(tmp_path, read):
    scalars = [("loss/training", 1, 0.5, 1.7e9), ("Verlust µ", 300, -3.25, 1.7e9 + 0.5), ("x" * 300, 2**40, 1e-20, 0.0)]
    tensorboard.write_events(tmp_path / "events", scalars)
    found = read(tmp_path / "events")
    assert [row[:2] + row[3:] for row in found] == [row[:2] + row[3:] for row in scalars]
    assert np.allclose([row[2] for row in found], [row[2] for row in scalars], rtol=1e-6, atol=0)
    tensorboard.write_events(tmp_path / "none", [])
    assert read(tmp_path / "none") == []


def finished_fit(run, name="mfcc-mlp-fold0", history=HISTORY, **changes):
    files = {"metrics.json": json.dumps(SUMMARY | changes)}
    if history is not None:
        files["history.csv"] = history.to_csv(index=False)
    runs.write_fit(run / "fits" / name, files)
    return run / "tensorboard" / name


def test_a_fit_has_its_curves_and_its_metrics(tmp_path, read):
    folder = finished_fit(tmp_path)
    tensorboard.write_event_files(tmp_path, "mfcc-mlp-fold0")
    final, = folder.glob("events.out.tfevents.*")
    assert {tag: (step, value) for tag, step, value, _ in read(final)} == {
        f"final/{name}": (0, pytest.approx(value)) for name, value in SUMMARY.items() if name != "fit_id"}
    assert [path.name for path in sorted(folder.iterdir()) if path.is_dir()] == ["member-1", "member-2"]
    file, = (folder / "member-2").iterdir()
    rows = read(file)
    for tag, column in (("loss/training", "loss"), ("loss/validation", "val_loss"), ("accuracy/training", "accuracy"),
                        ("accuracy/validation", "val_accuracy")):
        own = HISTORY[HISTORY.member == 1].dropna(subset=column)
        assert [(step, value) for name, step, value, _ in rows if name == tag] == [
            (epoch, pytest.approx(value)) for epoch, value in zip(own.epoch, own[column])]
    times = [time for tag, *_, time in rows if tag == "loss/training"]
    assert times[1] - times[0] == pytest.approx(1) and times[1] == pytest.approx(read(final)[0][3])


def test_a_fit_without_epochs_has_its_metrics_alone(tmp_path, read):
    folder = finished_fit(tmp_path, "mfcc-svm-fold0", history=None)
    tensorboard.write_event_files(tmp_path, "mfcc-svm-fold0")
    assert not [path for path in folder.iterdir() if path.is_dir()] and len(read(next(folder.glob("events*")))) == 9


def test_files_of_a_fit_that_was_finished_before_stay_and_another_fit_replaces_them(tmp_path):
    folder = finished_fit(tmp_path)
    tensorboard.write_event_files(tmp_path, "mfcc-mlp-fold0", again=False)
    before = {path: path.stat().st_ino for path in folder.rglob("events*")}
    tensorboard.write_event_files(tmp_path, "mfcc-mlp-fold0", again=False)
    assert {path: path.stat().st_ino for path in folder.rglob("events*")} == before and len(before) == 3
    finished_fit(tmp_path, fit_id="another")
    tensorboard.write_event_files(tmp_path, "mfcc-mlp-fold0", again=False)
    assert {path.name for path in folder.rglob("events*")} == {"events.out.tfevents.another"}


def test_tensorboard_reads_them(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = finished_fit(tmp_path)
    tensorboard.write_event_files(tmp_path, "mfcc-mlp-fold0")
    found = accumulator.EventAccumulator(str(folder / "member-1"))
    found.Reload()
    assert set(found.Tags()["scalars"]) == set(tensorboard.CURVES.values())
    assert [event.value for event in found.Scalars("loss/training")] == pytest.approx([2.0, 1.5])
