"""The fits of a run for TensorBoard: `train.py --tensorboard`, then `tensorboard --logdir results/<run>/tensorboard`.

    results/<run>/tensorboard/<fit>/            its final metrics
                              <fit>/member-1/   loss and accuracy over the epochs, training and validation

Written from the finished fit's own files (metrics.json, history.csv): so fits that were finished before get theirs.
"""
import json
import math

from ser.files import read_csv
from ser.folders import new_folder
from ser.metrics import CALIBRATION, METRICS

FOLDER = "tensorboard"
CURVES = {"loss": "loss/training", "val_loss": "loss/validation", "accuracy": "accuracy/training",
          "val_accuracy": "accuracy/validation", "learning_rate": "learning_rate"}      # column of a history: tag
FINAL = (*METRICS, "validation_accuracy", *CALIBRATION, "fit_seconds")


def write_event_files(run, fit, again=True):
    """Event files of a finished fit of a run: its folder below run/tensorboard, in place of an older one.

    fit : name of its folder below run/fits; again : also where those of this very fit are there already
    """
    source, target = run / "fits" / fit, run / FOLDER / fit
    metrics = json.loads((source / "metrics.json").read_text())
    name = f"events.out.tfevents.{metrics['fit_id']}"
    if (target / name).exists() and not again:
        return
    finished = (source / "metrics.json").stat().st_mtime
    with new_folder(target, replace=True) as draft:
        write_events(draft / name, [(f"final/{key}", 0, metrics[key], finished) for key in FINAL
                                    if metrics.get(key) is not None])
        if (source / "history.csv").exists():
            for member, scalars in member_curves(read_csv(source / "history.csv"), finished).items():
                (draft / member).mkdir()
                write_events(draft / member / name, scalars)


def write_missing(run, fits):
    """Event files of those of the finished fits, {name of the folder}, that have none yet."""
    for fit in sorted(fits):
        write_event_files(run, fit, again=False)


def write_events(path, scalars):
    """An event file, by TensorFlow, so TensorBoard need not be installed where a model is trained.

    scalars : [(tag, step, value, time), ...]: name of the curve; int; float; seconds since 1970
    """
    from study.backend import tf  # isort: skip (slow to load)
    from tensorflow.core.framework.summary_pb2 import Summary
    from tensorflow.core.util.event_pb2 import Event
    first = min((time for *_, time in scalars), default=0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(Event(wall_time=first, file_version="brain.Event:2").SerializeToString())
        for tag, step, value, time in scalars:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.write(Event(wall_time=time, step=step, summary=summary).SerializeToString())


def member_curves(history, finished):
    """{"member-1": scalars of its epochs, as `write_events` takes them}.

    history : table of a fit's epochs; finished : when the fit was, in seconds since 1970
    """
    times = finished - history.seconds.sum() + history.seconds.cumsum()
    return {f"member-{member + 1}": [(tag, int(row.epoch), getattr(row, column), time)
                                     for row, time in zip(rows.itertuples(), times[rows.index])
                                     for column, tag in CURVES.items() if not math.isnan(getattr(row, column))]
            for member, rows in history.groupby("member")}
