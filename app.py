"""A page to try the models: upload or record speech, see its emotions over time. Needs gradio: pip install -e ".[app]"

    python app.py                   then open the address that it prints; the page is seen from this machine alone
    python app.py --run demo        the models of another run

Reads results/<run>/, keeps nothing on disk: what is uploaded lies in a temporary folder until it is answered (at most
ten minutes). That folder goes when the program ends, or starts again after it was killed. The answers are those of
predict.py. Programs ask the same address: /answer and /answers, see docs/usage.md, "In the browser".
"""
import argparse
import os
from pathlib import Path

import config
from ser.errors import UserError, run_command
from ser.signals import install_interrupt_handler

LARGEST_MB = 20             # of an upload
LONGEST_SECONDS = 300       # of a recording
MOST_FILES = 100            # of a question of a program
REMEMBERED = 32             # people whose last recording stays in memory, to ask another model about it ...
REMEMBERED_SECONDS = 600    # ... for so long
LONGEST_QUEUE = 16          # questions that wait; they are answered one by one
PORTS = range(7860, 7960)   # where --port names none
LIVE_EVERY = 1.0            # s, from one answer on a microphone to the next


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="A page to try the models of train.py in a browser.")
    parser.add_argument("--run", metavar="NAME", default=config.RUN_NAME,
                        help="run with the models (default: %(default)s)")
    parser.add_argument("--results-dir", metavar="DIR", default=config.RESULTS_DIR, type=Path,
                        help="folder with the runs (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in, and "
                        "there is no password (default: %(default)s, this machine alone)")
    parser.add_argument("--port", type=int, help=f"(default: the first free one from {PORTS[0]})")
    args = parser.parse_args(arguments)
    if args.port is not None and not 1 <= args.port <= 65535:
        parser.error(f"argument --port: {args.port} is not within 1 .. 65535")
    return args


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    install_interrupt_handler()
    ARGUMENTS = parse()

import contextlib
import errno
import io
import json
import secrets
import socket

import numpy as np
import soundfile

import features
from ser import demo_corpus, page_scripts, seeds
from ser.page_parts import message, problem_message, sentence, timeline
from ser.recording import open_recording
from ser.settings import install_command
from ser.terminal import plural
from ser.uploads import discard, keep_uploads_apart, read_upload, refuse_addresses, uploads_folder
from study import answers, inference, ready

INTRODUCTION = f"""# Speech emotion recognition
Upload or record speech: the answer comes by itself. Up to {LONGEST_SECONDS // 60} minutes and {LARGEST_MB} MB. Nothing
is kept on disk: the file of a recording is deleted when it has been answered.

The models know acted speech and the voices they were trained on. On your own voice, another language or speech that is
not acted they are as sure, and less often right."""
EXAMPLES = {"neutral": ("neutral",), "happy": ("happy",), "surprised": ("surprised",),
            "happy, then sad": ("happy", "happy", "happy", "sad", "sad", "sad")}
LISTENING = message("Listening ...")
EXAMPLES_LABEL = "Or try a clip that a program synthesised (not a real voice)"
STYLE = """
.message {font-size: 1.05em} .message strong {font-size: 1.4em} .message small {display: block; margin-top: 6px}
.problem {border-left: 4px solid #d55e00; padding-left: 10px}
.download {display: inline-block; margin-top: 8px; text-decoration: underline}
"""


# -- models ------------------------------------------------------------------------------------------
def choices(run):
    """What can be chosen, the best by inner validation first: {name for people: {folder of a model: weight}}.

    raises : UserError
    """
    if run.name == config.RUN_NAME and not inference.has_any_model(run):
        return ready_choice()
    best = inference.select_models(run, of_ensemble=False)
    ensemble = inference.select_models(run, of_ensemble=True)
    fits = {fit_name(fit): {fit: 1.0} for fit in sorted(inference.usable(inference.read_fits(run).fits).folder)}
    name = fit_name(next(iter(best)))
    fits.pop(name, None)
    offered = {f"{name} (best on validation)": best, f"Ensemble of {plural(len(ensemble), 'model')}": ensemble}
    return offered | fits | ready_choice()


def ready_choice():
    folder = ready.ready_model()
    return {f"{model_name(folder)}, ready model": {folder: 1.0}}


def model_name(folder):
    """"1-D CNN on MFCC" for the folder of a model."""
    fit = json.loads((folder / "metrics.json").read_text())
    network = config.MODELS[fit["model"]].label if fit["model"] in config.MODELS else fit["model"]
    feature = features.FEATURES[fit["feature"]].label if fit["feature"] in features.FEATURES else fit["feature"]
    return f"{network} on {feature}"


def fit_name(folder):
    """"1-D CNN on MFCC, fold 0" for the folder of a fit."""
    fold = json.loads((folder / "metrics.json").read_text())["fold"]
    return f"{model_name(folder)}, {'trained on all clips' if fold == 'final' else f'fold {fold}'}"


# -- recordings --------------------------------------------------------------------------------------
def example(emotions):
    """A synthesised clip in these emotions, one after another, as a WAV file: bytes."""
    rng = seeds.generator(0, "example", *emotions)
    clips = [demo_corpus.synthesise(emotion, rng=rng) for emotion in emotions]
    sound = io.BytesIO()
    soundfile.write(sound, np.concatenate(clips), demo_corpus.SAMPLE_RATE, format="WAV")
    return sound.getvalue()


def analyse(name, sound, weights):
    """A recording (ser/recording.py) and the PageAnswer on it, of the bytes of a sound file. raises : UserError"""
    recording = open_recording(io.BytesIO(sound), longest=LONGEST_SECONDS)      # before a small file unfolds into hours
    return recording, answers.answer_recording(name, recording, weights)


# -- what is shown -----------------------------------------------------------------------------------
def show(text, answer=None, below=""):
    """Values of the page's outputs: a sentence, the probabilities of an Answer if it has some, and what is below."""
    import gradio
    there = answer is not None and bool(answer.probabilities)
    return text, gradio.update(value=answer.probabilities if there else None, visible=there), below


# -- questions ---------------------------------------------------------------------------------------
class Questions:
    """What the page and the programs ask, with `offered` as `choices` gives it. Holds nothing of those who ask."""

    def __init__(self, offered):
        self.offered = offered

    def models(self, name):
        """{folder: weight} of a choice; None: the first. raises : UserError"""
        if name is not None and not (isinstance(name, str) and name in self.offered):
            raise UserError(f"there is no model {name!r}; there are: {'; '.join(self.offered)}")
        return self.offered[name or next(iter(self.offered))]

    def of_page(self, path, model, held, look):
        """A sentence, probabilities, timeline with table; and the recording, (path, bytes), for another model."""
        if path is None:
            return *show(message("")), None
        try:
            if held is None or held[0] != path:
                held = path, read_upload(path)
            recording, (answer, threshold, windows) = analyse(Path(path).name, held[1], self.models(model))
            below = timeline(answer, windows, recording, "dark" in look, "narrow" in look)
            return *show(sentence(answer, threshold), answer, below), held
        except UserError as problem:
            return *show(problem_message(problem)), held
        finally:                    # not as soon as it is read: the player of the page reads it as well
            discard(path)

    def of_page_again(self, model, held, look):
        """The same of another model, where there is a recording."""
        return self.of_page(held and held[0], model, held, look)

    def of_microphone(self, sound, model):
        """The same of the last seconds of a microphone, as a browser sends them; "" where it is switched off."""
        import gradio
        if not sound:
            return (gradio.skip(),) * 3
        try:
            live = answers.answer_live(*answers.read_microphone(sound), self.models(model))
            return show(LISTENING) if live is None else show(sentence(live.answer, live.threshold), live.answer)
        except UserError as problem:
            return show(problem_message(problem))

    def of_program(self, recording, model=None):
        """The emotion of a recording.

        Parameters:
            recording: an audio file
            model: name of a model, as in the page's list; the first of them by default
        Returns:
            An object: file, start, end (s), label, confidence (0 to 1), unsure, probabilities {emotion: 0 to 1}, note,
            as of predict.py --json; and windows, a list of start, end, speech_seconds, label, confidence, unsure,
            p_<emotion>: their mean, weighted by speech_seconds, is the answer. Without speech the label is "pause" or
            "no speech", confidence null.
        """
        with problems_for_programs():
            if recording is None:
                raise UserError("no recording; send an audio file")
            (found,) = self.each([recording["path"]], model)
            if isinstance(found, UserError):
                raise found
            return found.answer.as_dict() | {"windows": found.windows.to_dict("records")}

    def of_program_many(self, recordings, model=None):
        """The emotions of several recordings.

        Parameters:
            recordings: audio files, at most 100
            model: name of a model, as in the page's list; the first of them by default
        Returns:
            A list of objects, one per file in their order: as of /answer, without windows. Of a file that cannot be
            used start, end, label and confidence are null, and note says why.
        """
        paths = [upload["path"] for upload in recordings or []]
        with problems_for_programs():
            if not 1 <= len(paths) <= MOST_FILES:
                raise UserError(f"{len(paths)} files; between 1 and {MOST_FILES} are answered at once")
            found = self.each(paths, model)
        return [dict(file=Path(path).name, start=None, end=None, label=None, confidence=None, unsure=False,
                     probabilities={}, note=str(one)) if isinstance(one, UserError) else one.answer.as_dict()
                for path, one in zip(paths, found)]

    def each(self, paths, model):
        """The PageAnswers on uploads, or the UserErrors of those not usable. raises : UserError for the model"""
        found = []
        try:
            weights = self.models(model)
            for path in paths:
                try:
                    found.append(analyse(Path(path).name, read_upload(path), weights)[1])
                except UserError as problem:
                    found.append(problem)
            return found
        finally:
            for path in paths:
                discard(path)


@contextlib.contextmanager
def problems_for_programs():
    """A UserError within the block is what gradio tells programs."""
    import gradio
    try:
        yield
    except UserError as problem:
        raise gradio.Error(str(problem), print_exception=False) from problem


# -- the page ----------------------------------------------------------------------------------------
def page(offered, scratch):
    """The Gradio page. offered : as `choices` gives it; scratch : folder of its temporary files"""
    import gradio
    questions = Questions(offered)

    def load_example(number):
        path = scratch / secrets.token_hex(8) / "synthesised.wav"       # of this person alone, deleted as an upload is
        path.parent.mkdir(parents=True)
        path.write_bytes(example(list(EXAMPLES.values())[number]))
        return str(path)

    def started(problem):
        text = problem_message(problem) if problem else LISTENING
        return *show(text), gradio.Timer(active=not problem), *switches(not problem)

    def stopped():
        return gradio.Timer(active=False), *switches(False)

    def switches(on):
        return gradio.Button(visible=not on), gradio.Button(visible=on)

    with gradio.Blocks(title="Speech emotion recognition", analytics_enabled=False, delete_cache=(60, 600)) as blocks:
        gradio.Markdown(INTRODUCTION)
        with gradio.Row():
            with gradio.Column():
                model = gradio.Dropdown(list(offered), value=next(iter(offered)), label="model")
                with gradio.Tab("A recording"):
                    recording = gradio.Audio(sources=["upload", "microphone"], type="filepath", label="speech",
                                             buttons=[])
                    examples = gradio.Dataset(components=[gradio.Textbox(visible=False)], type="index",
                                              samples=[[name] for name in EXAMPLES], label=EXAMPLES_LABEL)
                with gradio.Tab("Live microphone"):
                    gradio.Markdown(f"An answer about every second, from the last {answers.LIVE_SECONDS:g} seconds.")
                    start, stop = gradio.Button("Start", variant="primary"), gradio.Button("Stop", visible=False)
            with gradio.Column():
                said = gradio.HTML(message(""), padding=False)
                emotions = gradio.Label(label="probabilities", show_heading=False, visible=False)
        below = gradio.HTML(padding=False)
        held, timer = gradio.State(time_to_live=REMEMBERED_SECONDS), gradio.Timer(LIVE_EVERY, active=False)
        look, sound = (gradio.Textbox(visible=False) for _ in range(2))         # what the browser says of itself
        shown = [said, emotions, below]

        one_by_one = dict(concurrency_limit=1, concurrency_id="models")
        of_page = dict(outputs=[*shown, held], js=page_scripts.LOOK, show_progress_on=said, api_visibility="private",
                       **one_by_one)
        recording.change(questions.of_page, [recording, model, held, look], **of_page)
        model.change(questions.of_page_again, [model, held, look], **of_page)
        examples.click(load_example, examples, recording, show_progress="hidden", api_visibility="private")
        switched = dict(show_progress="hidden", queue=False, api_visibility="private")
        start.click(started, sound, [*shown, timer, start, stop], js=page_scripts.START.replace(
            "SECONDS", f"{answers.LIVE_SECONDS:g}"), **switched)
        stop.click(stopped, None, [timer, start, stop], js=page_scripts.STOP, **switched)
        timer.tick(questions.of_microphone, [sound, model], shown, js=page_scripts.READ, show_progress="hidden",
                   trigger_mode="once", api_visibility="private", **one_by_one)

        button, answer = gradio.Button(visible=False), gradio.JSON(visible=False, label="answer")
        recordings = gradio.File(visible=False, file_count="multiple", label="recordings")
        of_program = dict(outputs=answer, preprocess=False, **one_by_one)       # a wrong model is ours to say
        button.click(questions.of_program, [recording, model], api_name="answer", **of_program)
        button.click(questions.of_program_many, [recordings, model], api_name="answers", **of_program)
    return blocks


def free_port(host, port):
    """`port`, or where it is None the first of PORTS, that this machine can listen on. raises : UserError"""
    for number in PORTS if port is None else [port]:
        try:
            socket.create_server((host, number), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
            return number
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:       # a host that is not this machine, a port for the system alone
                raise UserError(f"--host {host}, port {number}: {problem.strerror}") from problem
    raise UserError(f"port {port or f'{PORTS[0]} to {PORTS[-1]}'}: in use by another program; name another with --port")


def main(args):
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as problem:
        raise UserError(f"the page needs gradio ({problem}): {install_command('app')}") from problem
    offered = choices(args.results_dir / args.run)
    answers.load_recogniser(tuple(next(iter(offered.values())).items()))    # so that the first answer need not wait
    with uploads_folder() as scratch:
        os.environ["GRADIO_TEMP_DIR"] = str(scratch)
        keep_uploads_apart()
        refuse_addresses()
        fonts = dict(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
        built = page(offered, scratch).queue(max_size=LONGEST_QUEUE)
        built.launch(server_name=args.host, server_port=free_port(args.host, args.port), share=False, ssr_mode=False,
                     max_file_size=f"{LARGEST_MB}mb", theme=gradio.themes.Default(**fonts), css=STYLE, footer_links=[],
                     quiet=True, run_history=False, enable_monitoring=False, state_session_capacity=REMEMBERED,
                     prevent_thread_lock=True)
        print(f"the page is at {built.local_url} (Ctrl-C ends it)", flush=True)
        built.block_thread()


if __name__ == "__main__":
    run_command("app.py", main, ARGUMENTS)
