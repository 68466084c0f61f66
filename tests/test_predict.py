"""The command that users of a model run: the answers of training, over again, and clear words where there are none."""
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from commands import run

import config
import predict
from ser import metrics
from ser.errors import UserError
from study import inference, segments

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = list(config.CLASSES)
P = [f"p_{name}" for name in LABELS]
ROUNDING = 2e-5             # probabilities are written with six digits, then heated or cooled


@pytest.fixture(scope="module")
def corpus(demo):
    return demo[0] / "cache/demo-corpus"


@pytest.fixture(scope="module")
def fits(demo):
    return demo[0] / "results/demo/fits"


def metadata(folder):
    return json.loads((folder / "preprocessing.json").read_text())


def segments_of(path, folder, window=None, hop=1.0):
    return segments.load_segments(path, {"key": metadata(folder)}, window, hop)


def tone(path, seconds, rate=22_050, level=0.5):
    y = level * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, y, rate)
    return path


@pytest.mark.parametrize("model", [None, "cnn1d", "dtw"])
def test_answers_are_those_of_training(demo, corpus, tmp_path, model, predicts):
    """The default model, the best of the run, and others: its test clips, from the files, get what training wrote."""
    asked = [] if model is None else ["--model", f"results/demo/fits/mfcc-{model}-fold1"]
    done = predicts([corpus, "--run", "demo", *asked, "--csv", tmp_path / "out.csv"], demo[0])
    assert done.returncode == 0, done.stderr
    folder = demo[0] / re.search("model: (.*)", done.stderr).group(1)
    if model is None:
        fits = pd.read_csv(demo[0] / "results/demo/fits.csv").query("model != 'ensemble'")
        best = fits.groupby("model").validation_accuracy.mean()
        assert best[folder.name.split("-")[1]] == pytest.approx(best.max(), abs=1e-5)     # rounded in the table
    answers = pd.read_csv(tmp_path / "out.csv")
    expected = pd.read_csv(folder / "predictions.csv")
    answers["file"] = answers.file.str.rsplit("/", n=1).str[-1]
    assert len(answers) == len(pd.read_csv(demo[0] / "results/demo/clips.csv"))
    both = expected.merge(answers, on="file", suffixes=("_then", "_now"), validate="one_to_one")
    assert len(both) == len(expected) and (both.predicted == both.label).all()
    then = metrics.apply_temperature(both[[f"{name}_then" for name in P]].to_numpy(), metadata(folder)["temperature"])
    assert np.abs(then - both[[f"{name}_now" for name in P]].to_numpy()).max() < ROUNDING


def test_a_ensemble_is_the_mean_of_its_models(corpus, fits):
    folders = [fits / "mfcc-dtw-fold0", fits / "mfcc-mlp-fold1"]
    models = [inference.load_model(folder) for folder in folders]
    specs = inference.input_specs(models)
    assert len(specs) == 2                                             # frames, and functionals
    clips = [segments.load_segments(path, specs)[0] for path in sorted(corpus.rglob("*.wav"))[:5]]
    calibration = inference.Calibration(1.0, 0.5)
    alone = [inference.predict_segments(clips, [model], LABELS, calibration)[P] for model in models]
    together = inference.predict_segments(clips, models, LABELS, calibration)
    assert np.allclose(together[P], (alone[0] + alone[1]) / 2) and not np.allclose(alone[0], alone[1])
    assert (together.confidence == together[P].max(axis=1)).all()
    assert (together.unsure == (together.confidence < 0.5)).all()


def test_the_ensemble_of_every_fold_is_asked(demo, fits):
    """With the weights that make the ensemble's row in the tables."""
    weights = inference.select_models(demo[0] / "results/demo", of_ensemble=True)
    tables = pd.read_csv(demo[0] / "results/demo/predictions.csv.gz")
    for fold in (0, 1):
        own = {folder.name: weight for folder, weight in weights.items() if folder.name.endswith(f"fold{fold}")}
        assert sum(own.values()) == pytest.approx(1)
        mean = sum(weight * pd.read_csv(fits / name / "predictions.csv").set_index("file")[P]
                   for name, weight in own.items())
        ours = tables.query("model == 'ensemble' and fold == @fold").set_index("file")[P]
        assert np.abs(mean.loc[ours.index] - ours).to_numpy().max() < ROUNDING


def test_a_broken_file_is_reported_and_the_rest_done(demo, corpus, fits, tmp_path):
    good = next(corpus.rglob("*.wav"))
    (tmp_path / "broken.m4a").write_text("no sound")
    tone(tmp_path / "silence.wav", 1, level=0)
    shutil.copy(good, tmp_path / os.fsdecode(b"l\xe4rm.wav"))               # latin-1, as old archives have it
    done = run("predict.py", tmp_path / "broken.m4a", good, tmp_path / "silence.wav", tmp_path / os.fsdecode(
        b"l\xe4rm.wav"), "--csv", tmp_path / "out.csv", "--model", fits / "mfcc-mlp-fold0", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "3 of 4" in done.stderr
    assert "rm.wav: its name is not UTF-8; rename it" in done.stderr
    assert re.search(r"broken\.m4a: not readable.*ffmpeg -i \S+broken\.m4a \S+broken\.wav", done.stderr)
    assert re.search(r"silence\.wav: silent", done.stderr)
    assert list(pd.read_csv(tmp_path / "out.csv").file) == [str(good)]


def test_nothing_heard_or_nothing_written_is_a_failure(corpus, fits, tmp_path, predicts):
    (tmp_path / "broken.wav").write_text("no sound")
    for clip, place in ((tmp_path / "broken.wav", "out.csv"), (next(corpus.rglob("*.wav")), "broken.wav/out.csv")):
        done = predicts([clip, "--csv", tmp_path / place, "--model", fits / "mfcc-mlp-fold0"], tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr and "broken.wav" in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["broken.wav"]


@pytest.mark.parametrize("arguments, words", [
    (["nowhere.wav"], "nowhere.wav: no such file"),
    (["here"], "here: no audio files in this folder"),
    (["one.wav", "--run", "nope", "--ensemble"], "results/nope: no trained model there"),
    (["one.wav", "--run", "nope", "--committee"], "results/nope: no trained model there"),
    (["one.wav", "--model", "here"], "here: no usable model"),
    ([], "name audio files or folders"),
    (["one.wav", "--export", "litert"], "one of the three"),
    (["one.wav", "--ensemble", "--model", "here"], "--ensemble takes models"),
    (["one.wav", "--window", "0"], "--window: 0.0 is not within"),
    (["one.wav", "--csv", "here"], "--csv: here is a folder"),
    (["one.wav", "--jobs", "0"], "--jobs: 0"),
])
def test_a_mistake_is_one_clear_line(tmp_path, arguments, words, predicts):
    (tmp_path / "here").mkdir()
    tone(tmp_path / "one.wav", 1)
    before = sorted(tmp_path.rglob("*"))
    done = predicts(arguments, tmp_path)
    assert done.returncode == 2 and not done.stdout
    assert words in done.stderr.splitlines()[-1] and sorted(tmp_path.rglob("*")) == before


def test_rate_channels_and_format_do_not_matter(corpus, fits, tmp_path):
    """A stereo FLAC at 48 kHz of the same sound; resampling leaves a trace, hence the tolerance."""
    path = next(corpus.rglob("*.wav"))
    y, rate = soundfile.read(path)
    finer = np.interp(np.arange(0, len(y) - 1, rate / 48_000), np.arange(len(y)), y)
    soundfile.write(tmp_path / "other.flac", np.stack([finer, finer], axis=1), 48_000)
    model = inference.load_model(fits / "mfcc-cnn1d-fold0")
    key = model.input_key
    (first,), (second,) = (segments.load_segments(file, {key: model.metadata})
                           for file in (path, tmp_path / "other.flac"))
    p, q = (inference.predict_inputs(model, [segment["windows"][0].inputs[key]])[0] for segment in (first, second))
    assert p.argmax() == q.argmax() and np.abs(p - q).max() < 0.1


def test_notes_on_sound_that_answers_should_not_be_trusted_on(corpus, fits, tmp_path):
    y, rate = soundfile.read(min(corpus.rglob("*.wav")))
    speech = y[np.abs(y).argmax() - rate // 2:][:rate]

    def note(samples):
        soundfile.write(tmp_path / "a.wav", np.clip(samples, -1, 1), rate)
        return segments_of(tmp_path / "a.wav", fits / "mfcc-mlp-fold0")[0]["note"]

    assert note(speech) == ""
    assert re.match(r"very short: 0\.\d s", note(speech[rate // 4:rate // 2]))
    assert note(np.tile(speech, 10)) == "long: the mean of 6 windows"
    assert re.match(r"clipped: \d+\.\d% of the samples", note(speech * 10 / np.abs(speech).max()))


@pytest.mark.parametrize("seconds, window, hop, expected", [
    (10, None, 1, [(0, 10)]),
    (2, 3, 1, [(0, 2)]),
    (3, 3, 1, [(0, 3)]),
    (5, 3, 1, [(0, 3), (1, 4), (2, 5)]),
    (5.9, 3, 1, [(0, 3), (1, 4), (2, 5)]),
    (4, 2, 0.5, [(0, 2), (0.5, 2.5), (1, 3), (1.5, 3.5), (2, 4)]),
])
def test_windows_lie_within_the_recording(seconds, window, hop, expected):
    spans = segments.window_bounds(seconds, window, hop)
    assert len(spans) == len(expected) and np.allclose(spans, expected)


def test_emotion_over_time(demo, corpus, fits, tmp_path, predicts):
    """Speech, a pause, speech: rows with their times, no probabilities in the pause, and a picture."""
    clips = sorted(corpus.rglob("*.wav"))
    (one, rate), (two, _) = soundfile.read(clips[0]), soundfile.read(clips[1])
    soundfile.write(tmp_path / "talk.wav", np.concatenate([one[:2 * rate], np.zeros(4 * rate), two[:2 * rate]]), rate)
    done = predicts([tmp_path / "talk.wav", "--model", fits / "mfcc-mlp-fold0", "--window", 2, "--hop", 2,
                     "--csv", tmp_path / "out.csv", "--out", tmp_path], tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns[:4]) == ["file", "start", "end", "label"] and set(P) < set(table)
    speech = soundfile.info(tmp_path / "talk.wav").duration
    assert list(table.start) == [0, 2, 4, 6][:len(table)] and table.end.max() <= speech
    silent = table.label == "pause"
    assert silent.any() and not silent.all() and silent.equals(table[P].isna().all(axis=1))
    assert table.loc[~silent, P].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert (tmp_path / "talk-timeline.png").stat().st_size > 10_000


def test_confidence_needed_by_hand():
    confidence = np.arange(1, 101) / 100
    right = np.ones(100, bool)
    assert metrics.confidence_threshold(confidence, right) == 0.01          # all right: every answer is sure
    right[:60] = False
    assert metrics.confidence_threshold(confidence, right) == pytest.approx(0.61)
    assert metrics.confidence_threshold(confidence[::-1], right[::-1]) == pytest.approx(0.61)       # any order
    assert metrics.confidence_threshold(confidence, ~right) == 1.0          # the more confident, the less often right
    assert metrics.confidence_threshold(confidence[30:75], right[30:75]) == 1.0                     # too few
    steps = np.repeat([0.3, 0.8], 100)                                      # at 0.3 half are right, then three in four
    right = np.concatenate([np.arange(100) % 2 == 0, np.arange(100) % 4 > 0])
    assert metrics.confidence_threshold(steps, right) == pytest.approx(0.8)
    for share, threshold in ((0.7, 0.6), (0.6, 1.0)):                       # equals are all sure or all unsure
        assert metrics.confidence_threshold(np.full(100, 0.6), np.arange(100) < 100 * share) == threshold


def test_unsure_is_learnt_on_the_validation_clips(fits):
    folder = fits / "mfcc-mlp-fold0"
    table = pd.read_csv(folder / "validation_predictions.csv")
    p = metrics.apply_temperature(table[P].to_numpy(), metadata(folder)["temperature"])
    expected = metrics.confidence_threshold(p.max(axis=1), (table.true == table.predicted).to_numpy())
    assert inference.calibrate({folder: 1.0}) == pytest.approx((metadata(folder)["temperature"], expected))


def with_answers(fits, folder, answers):
    """Copies of models, {(model, fold): (p of the first emotion, p of the second)}, as if these were their answers on
    40 validation clips of the first emotion: {folder: 1.0}."""
    folders = {}
    for (model, fold), p in answers.items():
        folders[shutil.copytree(fits / f"mfcc-{model}-fold{fold}", folder / f"{model}{fold}")] = 1.0
        table = pd.DataFrame(dict(file=[f"{k}.wav" for k in range(40)], true=LABELS[0])).assign(**dict.fromkeys(P, 0.0))
        table[P[:2]] = p
        table.to_csv(folder / f"{model}{fold}" / "validation_predictions.csv", index=False)
    return folders


def test_unsure_is_learnt_on_the_mean_of_the_models_of_a_fold(fits, tmp_path):
    """A clip is left out in both folds; its answers of the one have nothing to do with those of the other."""
    folders = with_answers(fits, tmp_path, {("dtw", 0): (0.9, 0.1), ("mlp", 0): (0.7, 0.3), ("mlp", 1): (0.15, 0.85)})
    # Fold 0 is right at (0.9 + 0.7) / 2, fold 1 wrong at 0.85: the more confident, the less often right.
    assert inference.calibrate(folders).threshold == 1
    right = inference.calibrate(dict(list(folders.items())[:2]))
    p = metrics.apply_temperature(np.array([[0.8, 0.2, *[0] * 6]]), right.temperature)
    assert right.threshold == pytest.approx(p.max(), abs=1e-6)
    assert right.temperature < 0.2                                          # always right: as sure as can be


def test_the_temperature_of_a_mean_is_its_own(fits, tmp_path):
    """One model answers 0.9, the other 0.5; three of four clips are right where the mean is 0.7."""
    folders = with_answers(fits, tmp_path, {("dtw", 0): (0.9, 0.1), ("mlp", 0): (0.5, 0.5)})
    for folder in folders:
        table = pd.read_csv(folder / "validation_predictions.csv")
        table.loc[::4, "true"] = LABELS[1]
        table.to_csv(folder / "validation_predictions.csv", index=False)
    temperature = inference.calibrate(folders).temperature
    p = metrics.apply_temperature(np.array([[0.7, 0.3]]), temperature)
    assert p[0, 0] == pytest.approx(0.75, abs=0.001)


def test_a_copied_folder_is_the_same_model_whatever_it_is_called(corpus, fits, tmp_path, predicts):
    clip = next(corpus.rglob("*.wav"))
    (tmp_path / "mine").mkdir()
    for needed in ("svm.npz", "preprocessing.json", "validation_predictions.csv"):
        shutil.copy(fits / "mfcc-dtw-fold1" / needed, tmp_path / "mine")
    for name, folder in (("there", fits / "mfcc-dtw-fold1"), ("here", tmp_path / "mine")):
        done = predicts([clip, "--model", folder, "--csv", tmp_path / f"{name}.csv"], tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "here.csv").read_text() == (tmp_path / "there.csv").read_text()


@pytest.mark.parametrize("file, content, words", [
    ("preprocessing.json", "{}", "no usable model .*: preprocessing.json has no labels"),
    ("preprocessing.json", "[]", "no usable model .*: preprocessing.json has no labels"),
    ("preprocessing.json", "{", "no usable model"),
    ("svm.npz", "half", "no usable model"),
    ("validation_predictions.csv", "", "validation_predictions.csv: damaged"),
    ("validation_predictions.csv", "a,b\n1,2\n", "validation_predictions.csv: damaged"),
])
def test_a_damaged_model_is_one_clear_line(corpus, fits, tmp_path, file, content, words, predicts):
    shutil.copytree(fits / "mfcc-svm-fold0", tmp_path / "fit")
    (tmp_path / "fit" / file).write_text(content)
    damaged = predicts([next(corpus.rglob("*.wav")), "--model", tmp_path / "fit"], tmp_path)
    assert damaged.returncode == 2 and f"damaged ({file} has" in damaged.stderr
    (tmp_path / "fit/manifest.json").unlink()                   # a folder put together by hand
    done = predicts([next(corpus.rglob("*.wav")), "--model", tmp_path / "fit"], tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and re.search(words, done.stderr)


def test_emotions_of_two_words_are_shown():
    segment = dict(file="a.wav", start=0.0, end=1.0, note="", windows=[], no_answer="pause")
    labels = ["very happy", "sad, not weeping"]
    table = inference.predict_segments([segment], [], labels, inference.Calibration(1.0, 0.5))
    assert table.label[0] == "pause" and table.file[0] in predict.format_table(table, labels, 0.5)
    table[[f"p_{name}" for name in labels]], table["confidence"] = [[0.25, 0.75]], 0.75
    assert predict.format_table(table, labels, 0.5).splitlines()[1].split()[-2:] == ["25", "75"]


def test_recordings_of_one_name_have_a_picture_each(tmp_path):
    """Whatever the name means elsewhere."""
    paths = [tone(tmp_path / folder / "$x_{.wav", 1) for folder in ("a", "b") if not (tmp_path / folder).mkdir()]
    silent = [dict(file=str(path), start=0.0, end=1.0, note="", windows=[], no_answer="pause") for path in paths]
    table = inference.predict_segments(silent, [], ["sad", "happy"], inference.Calibration(1.0, 0.5))
    predict.draw_timelines(table, tmp_path / "out", ["sad", "happy"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"$x_{-timeline.png", "$x_{-2-timeline.png"}
    third = tone(tmp_path / "$x_{-2.wav", 1)                    # the name that a second $x_{ would have
    table = pd.concat([table, table[:1].assign(file=str(third))])
    predict.draw_timelines(table.iloc[[0, 2, 1]], tmp_path / "three", ["sad", "happy"])
    assert len(list((tmp_path / "three").iterdir())) == 3


# -- for pipes -------------------------------------------------------------------------------------
def test_only_the_table_goes_to_standard_output(corpus, fits, tmp_path, predicts):
    clip, model = next(corpus.rglob("*.wav")), fits / "mfcc-svm-fold0"
    done = predicts([clip, "--model", model, "--csv", tmp_path / "a.csv"], tmp_path)
    assert done.stdout.startswith("file ") and "model: " in done.stderr and "written: " in done.stderr
    piped = predicts([clip, "--model", model, "--csv", "-"], tmp_path)
    assert piped.returncode == 0 and piped.stdout == (tmp_path / "a.csv").read_text()


def test_an_object_a_line_for_programs(corpus, fits, tmp_path, predicts):
    clips, model = sorted(corpus.rglob("*.wav"))[:2], fits / "mfcc-svm-fold0"
    tone(tmp_path / "tone.wav", 1)
    (tmp_path / "broken.wav").write_text("no sound")
    done = predicts([*clips, tmp_path, "--model", model, "--json", "--csv", tmp_path / "a.csv"], tmp_path)
    answers = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and "broken.wav: not readable" in done.stderr
    assert [answer["file"] for answer in answers] == [*map(str, clips), str(tmp_path / "tone.wav")]
    assert answers[2]["probabilities"] == {} and answers[2]["label"] == "no speech"
    table = pd.read_csv(tmp_path / "a.csv")
    for answer, row in zip(answers[:2], table.itertuples()):
        assert (answer["label"], answer["unsure"], answer["confidence"]) == (row.label, row.unsure, row.confidence)
        assert list(answer["probabilities"].values()) == pytest.approx(list(row[7:7 + len(LABELS)]), abs=1e-6)
    both = run("predict.py", clips[0], "--json", "--csv", "-", cwd=tmp_path)
    assert both.returncode == 2 and "both would be standard output" in both.stderr


class Piped:
    def __init__(self, content):
        self.buffer = io.BytesIO(content)


def test_names_or_a_recording_come_from_standard_input(demo_folder, tmp_path, monkeypatch):
    clips = sorted(map(str, demo_folder.rglob("*.wav")))[:3]
    monkeypatch.setattr(sys, "stdin", Piped("\n".join([clips[0], "", clips[1], ""]).encode()))
    assert list(map(str, predict.audio_files([clips[2], "-"]))) == [clips[2], *clips[:2]]
    odd = [tmp_path / name for name in ("3.15\u202fPM.wav", "\u3000.wav", "a\tb.wav", os.fsdecode(b"\xe4.wav"))]
    for path in odd:
        path.touch()
    monkeypatch.setattr(sys, "stdin", Piped(b"\r\n".join(map(os.fsencode, odd))))
    assert predict.audio_files(["-"]) == odd
    sound = Path(clips[0]).read_bytes()
    monkeypatch.setattr(sys, "stdin", Piped(sound))
    (path,) = predict.audio_files(["-"])
    assert path.read_bytes() == sound
    for content, words in ((b"", "nothing comes on standard input"), (b"nowhere.wav\n", "nowhere.wav: no such file")):
        monkeypatch.setattr(sys, "stdin", Piped(content))
        with pytest.raises(UserError, match=words):
            predict.audio_files(["-"])


def test_a_pattern_names_the_files_it_matches(demo_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(demo_folder)
    every = sorted(path.relative_to(demo_folder) for path in demo_folder.rglob("*.wav"))
    assert predict.audio_files(["**/*.wav"]) == every == predict.audio_files(["Actor_01/*.wav"])
    assert predict.audio_files(["Actor_01/03-01-05*.wav"]) == [path for path in every if "03-01-05" in path.name]
    with pytest.raises(UserError, match=r"\*\.mp3: no such file matches"):
        predict.audio_files(["*.mp3"])
    (demo_folder / "a[1].wav").write_bytes(b"")             # a name like a pattern is a name where there is such a file
    try:
        assert predict.audio_files(["a[1].wav"]) == [Path("a[1].wav")]
    finally:
        (demo_folder / "a[1].wav").unlink()


def test_columns_of_long_names_do_not_run_together():
    labels = ["enthusiastically happy", "sad"]
    segment = dict(file="a.wav", start=0.0, end=1.0, note="", windows=[], no_answer="no speech")
    table = inference.predict_segments([segment], [], labels, inference.Calibration(1.0, 0.5))
    table[[f"p_{name}" for name in labels]], table["label"], table["confidence"] = [[0.75, 0.25]], labels[0], 0.75
    header, row, _ = predict.format_table(table, labels, 0.9).splitlines()
    assert re.split(r"  +", header) == ["file", "emotion", *labels]
    assert re.split(r"  +", row) == ["a.wav", "enthusiastically happy", "75", "25"]
    assert len(header) == len(row)                          # numbers stand below the end of their names


def test_a_folder_as_phones_and_macos_leave_it(corpus, fits, tmp_path, predicts):
    """Sound, what macOS puts beside it, a folder with a name like sound, a recording that needs a decoder."""
    clip, model = next(corpus.rglob("*.wav")), fits / "mfcc-svm-fold0"
    for name in ("good.wav", "a\nb.wav"):
        shutil.copy(clip, tmp_path / name)
    (tmp_path / "._good.wav").write_bytes(b"\0\5\x16\7")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/good.wav").write_bytes(b"\0\5\x16\7")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "New Recording 3.m4a").write_bytes(b"\0\0\0\x1cftypM4A \0\0\0\0" + bytes(400))
    done = predicts([tmp_path, "--model", model, "--csv", tmp_path / "out.csv", "--jobs", "1"], tmp_path)
    assert done.returncode == 1 and "1 of 3 could not be used" in done.stderr
    assert "New Recording 3.m4a: M4A or MP4" in done.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3 and "a\\x0ab.wav" in done.stdout
