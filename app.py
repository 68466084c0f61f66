"""A page to try the models: upload or record speech, see its emotions over time. Needs gradio: pip install -e ".[app]"

    python app.py                   then open the address that it prints; the page is seen from this machine alone
    python app.py --run demo        the models of another run

Reads results/<run>/, keeps nothing on disk: what is uploaded lies in a temporary folder until it is read (at most ten
minutes). That folder goes when the program ends, or starts again after it was killed. The answers are those of
predict.py, whose functions these are.
"""
import argparse
import os
from pathlib import Path

import config
from ser.errors import UserError, run_command
from ser.signals import install_interrupt_handler

LARGEST_MB = 20             # of an upload
LONGEST_SECONDS = 300       # of a recording
REMEMBERED = 8              # recordings, for the next question about them
LONGEST_QUEUE = 16          # questions that wait; they are answered one by one


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="A page to try the models of train.py in a browser.")
    parser.add_argument("--run", metavar="NAME", default=config.RUN_NAME,
                        help="run with the models (default: %(default)s)")
    parser.add_argument("--results-dir", metavar="DIR", default=config.RESULTS_DIR, type=Path,
                        help="folder with the runs (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in, and "
                        "there is no password (default: %(default)s, this machine alone)")
    parser.add_argument("--port", type=int, help="(default: the first free one from 7860)")
    return parser.parse_args(arguments)


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    install_interrupt_handler()
    ARGUMENTS = parse()

import collections
import contextlib
import functools
import io
import shutil
import tempfile

import matplotlib

from ser import plots
from ser.files import draft_path
from ser.folders import clear_drafts
from ser.recording import open_recording
from ser.settings import install_command
from study import inference, ready
from study.segments import one_per_window, segment_recording

LIMITS = (f"Up to {LONGEST_SECONDS // 60} minutes and {LARGEST_MB} MB. Nothing is kept on disk: the file of a "
          "recording is deleted when it has been read.")
CAUTION = ("The models know acted speech and the voices they were trained on. On your own voice, another language or "
           "speech that is not acted they are as sure, and less often right. An answer with a question mark is unsure.")


def choices(run):
    """What can be chosen, the best by inner validation first: {name: {folder of a model: weight}}.

    raises : UserError
    """
    if not run.exists() and run.name == config.RUN_NAME:
        folder = ready.ready_model()
        return {f"{folder.name} (comes with the project)": {folder: 1.0}}
    best = inference.select_models(run, of_ensemble=False)
    offered = {f"{next(iter(best)).name} (best on validation)": best}
    ensemble = inference.select_models(run, of_ensemble=True)
    offered[f"ensemble of {len(ensemble)} fits"] = ensemble
    return offered | {folder.name: {folder: 1.0} for folder in sorted(inference.trained_fits(run)[1].folder)}


@functools.lru_cache(maxsize=4)
def loaded(weights):
    """Models, class names and calibration, of a tuple of (folder, weight)."""
    models = [inference.load_model(*item) for item in weights]
    return models, inference.common_labels(models), inference.calibrate(dict(weights))


def analyse(sound, weights):
    """A recording -> ({emotion: probability}, figure of its emotions over time, a sentence on the answer); None for the
    first two where there is no speech.

    sound   : the bytes of an audio file; weights : {folder: weight} of the models that answer together
    raises  : UserError for sound that cannot be used
    """
    recording = open_recording(io.BytesIO(sound), longest=LONGEST_SECONDS)      # before a small file unfolds into hours
    models, labels, calibration = loaded(tuple(weights.items()))
    (whole,) = segment_recording("recording", recording, inference.input_specs(models))
    parts = one_per_window(whole)               # the answer is the mean of these
    if not parts:
        return None, None, f"**{whole['no_answer']}**: nothing here sounds like speech. {whole['note']}"
    answer = inference.predict_segments([whole], models, labels, calibration).iloc[0]
    windows = inference.predict_segments(parts, models, labels, calibration)
    with matplotlib.rc_context(plots.STYLE):
        title = "the whole recording" if len(parts) == 1 else f"windows of {parts[0]['end'] - parts[0]['start']:.1f} s"
        figure = plots.timeline(title, recording, windows, labels)
    text = f"**{answer.label}{' ?' if answer.unsure else ''}**, {answer.confidence:.0%} sure"
    if answer.unsure:
        text += f"; below {calibration.threshold:.0%} the models are wrong too often to be believed"
    return {name: float(answer[f"p_{name}"]) for name in labels}, figure, f"{text}. {answer.note}"


class Recordings:
    """The last few uploads, in memory: their files are deleted as soon as they have been read."""
    def __init__(self):
        self.sounds = collections.OrderedDict()         # {path that the browser knows it by: bytes}

    def take(self, path):
        """The bytes of an upload, which may have been asked for before. raises : KeyError for one forgotten"""
        file = Path(path)
        if file.exists():
            self.sounds[path] = file.read_bytes()
            file.unlink()
            if len(self.sounds) > REMEMBERED:
                self.sounds.popitem(last=False)
        return self.sounds[path]


def page(offered, note):
    """The Gradio page; `offered` as `choices` gives it."""
    import gradio
    recordings = Recordings()

    def answer(path, choice):
        if path is None:
            raise gradio.Error("Record or upload something first.", print_exception=False)
        try:
            return analyse(recordings.take(path), offered[choice])
        except KeyError as problem:
            raise gradio.Error("This recording is forgotten: upload it again.", print_exception=False) from problem
        except UserError as problem:
            raise gradio.Error(str(problem), print_exception=False) from problem

    with gradio.Blocks(title="Speech emotion recognition", analytics_enabled=False, delete_cache=(60, 600)) as blocks:
        gradio.Markdown(f"# Speech emotion recognition\n{note}{LIMITS}\n\n{CAUTION}")
        with gradio.Row():
            with gradio.Column():
                sound = gradio.Audio(sources=["upload", "microphone"], type="filepath", label="speech")
                choice = gradio.Dropdown(list(offered), value=next(iter(offered)), label="model")
                button = gradio.Button("Which emotion?", variant="primary")
                sentence = gradio.Markdown()
            emotions = gradio.Label(label="probabilities")
        timeline = gradio.Plot(label="emotion over time", show_label=False)
        button.click(answer, [sound, choice], [emotions, timeline, sentence], api_name="answer")
    return blocks


@contextlib.contextmanager
def uploads_folder():
    """A temporary folder, removed at the end, or where the program is killed when it starts the next time."""
    parent = Path(tempfile.gettempdir())
    clear_drafts(parent)
    folder = draft_path(parent / "ser-app")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(args):
    offered = choices(args.results_dir / args.run)
    first = next(iter(offered.values()))
    loaded(tuple(first.items()))                                        # so that the first answer need not wait for it
    note = f"**{inference.DEMO_MODEL}**\n\n" if inference.is_demo(next(iter(first))) else ""
    with uploads_folder() as scratch:
        os.environ |= {"GRADIO_TEMP_DIR": str(scratch), "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            import gradio
        except ImportError as problem:
            raise UserError(f"the page needs gradio ({problem}): {install_command('app')}") from problem
        fonts = dict(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
        built = page(offered, note).queue(max_size=LONGEST_QUEUE)
        built.launch(server_name=args.host, server_port=args.port, max_file_size=f"{LARGEST_MB}mb", share=False,
                     ssr_mode=False, theme=gradio.themes.Default(**fonts), footer_links=[], run_history=False,
                     enable_monitoring=False)


if __name__ == "__main__":
    run_command("app.py", main, ARGUMENTS)              # an OSError: the port is taken
