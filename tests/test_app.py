"""The page, as a program and as a person in a browser use it."""
import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pandas as pd
import pytest
import soundfile
from commands import HANG_SECONDS, UNNOISY, command, run
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from sounds import write

import app
from ser import demo_corpus, page_parts, uploads
from ser.errors import UserError
from ser.files import this_machine
from ser.recording import ArrayRecording, open_recording
from ser.settings import install_command
from study import answers, ready

STARTED = re.compile(r"http://127\.0\.0\.1:(\d+)")
PATIENCE_MS = 1000 * HANG_SECONDS
ROUNDING = 2e-6             # of two numbers with six digits
# Number in the page's list: how the model is called, and the folder of one that is no choice of predict.py.
MODELS = {0: (r"^[\w\- ]+ on MFCC, fold [01] \(best on validation\)$", None), 1: (r"^Ensemble of \d+ models$", None),
          2: (r"^BiLSTM on MFCC, fold 0$", "results/demo/fits/mfcc-bilstm-fold0"),
          -1: (r"^(1-D CNN on MFCC|Linear probe on Whisper encoder), ready model$", None)}


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):
    """Address of a running page with the demo's networks, and the folder for its temporary files."""
    scratch = tmp_path_factory.mktemp("scratch")
    words, how = command("app.py", "--run", "demo", cwd=demo[0])
    how["env"] = how["env"] | {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    said = scratch.parent / "app.log"
    with open(said, "w") as log, subprocess.Popen(words, stdout=log, stderr=log, **how) as process:
        until = time.monotonic() + HANG_SECONDS
        while not (found := STARTED.search(said.read_text())):
            assert process.poll() is None and time.monotonic() < until, said.read_text()
            time.sleep(0.2)
        yield found[0], scratch
        process.terminate()


@pytest.fixture(scope="module")
def client(server):
    return Client(server[0], verbose=False, download_files=False)


@pytest.fixture(scope="module")
def clip(demo):
    return sorted((demo[0] / "cache/demo-corpus").rglob("*.wav"))[0]


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """A recording of eight seconds: three synthesised clips, with a pause of three before the last."""
    rng, pause = np.random.default_rng(0), np.zeros(3 * demo_corpus.SAMPLE_RATE)
    first, second, third = (demo_corpus.synthesise(emotion, rng=rng) for emotion in ("angry", "sad", "happy"))
    return write(tmp_path_factory.mktemp("talk"), "talk.wav", np.concatenate([first, second, pause, third]),
                 sr=demo_corpus.SAMPLE_RATE)


@pytest.fixture
def ready_folder():
    """The ready model that needs no other weights."""
    return ready.FOLDER / "mfcc-cnn1d"


def models_of(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/answer", "/answers"}
    return endpoints["/answer"]["parameters"][1]["type"]["enum"]


def weighted_mean(windows, labels):
    """The mean of the windows of an answer, weighted by their seconds of speech: {emotion: probability}."""
    p, weights = windows[[f"p_{label}" for label in labels]].to_numpy(), windows.speech_seconds.to_numpy()
    return dict(zip(labels, weights @ p / weights.sum()))


@pytest.mark.parametrize("number, options", [(0, []), (1, ["--ensemble"]), (2, ["--model", MODELS[2][1]]),
                                             (-1, ["--model", ready.ready_model()])])
def test_the_page_answers_as_predict_does(client, clip, demo, tmp_path, number, options, predicts):
    choice = models_of(client)[number]
    assert re.search(MODELS.get(number, [""])[0], choice)
    answer = client.predict(recording=handle_file(clip), model=choice, api_name="/answer")
    done = predicts([clip, "--run", "demo", *options, "--csv", tmp_path / "out.csv"], demo[0])
    assert done.returncode == 0
    row = pd.read_csv(tmp_path / "out.csv").iloc[0]
    assert (answer["file"], answer["label"], answer["unsure"]) == (clip.name, row.label, bool(row.unsure))
    assert ("DEMO" in answer["note"]) == ("DEMO" in done.stderr) == (number != -1)
    given = {f"p_{name}": value for name, value in answer["probabilities"].items()}
    assert given == pytest.approx({name: row[name] for name in row.index if name.startswith("p_")}, abs=ROUNDING)
    assert answer["confidence"] == max(answer["probabilities"].values())


@pytest.mark.parametrize("number", [0, 1])
def test_the_headline_is_the_mean_of_the_windows_that_are_shown(client, talk, number):
    answer = client.predict(handle_file(talk), models_of(client)[number], api_name="/answer")
    windows = pd.DataFrame(answer["windows"])
    assert len(windows) >= 3 and windows.speech_seconds.nunique() > 1           # or any mean would do
    assert weighted_mean(windows, list(answer["probabilities"])) == pytest.approx(answer["probabilities"], abs=ROUNDING)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_several_files_in_one_question(client, clip, talk, tmp_path):
    (tmp_path / "text.wav").write_text("text")
    noise = write(tmp_path, "noise.wav", 0.1 * np.random.default_rng(0).normal(size=8 * 8000), sr=8000)
    files = [clip, tmp_path / "text.wav", noise, talk]
    found = client.predict(recordings=[handle_file(file) for file in files], api_name="/answers")
    assert [answer["file"] for answer in found] == [file.name for file in files]
    keys = ["file", "start", "end", "label", "confidence", "unsure", "probabilities", "note"]
    assert [list(answer) for answer in found] == [keys] * 4                             # as of predict.py --json
    for file, answer in ((clip, found[0]), (talk, found[3])):
        single = client.predict(handle_file(file), api_name="/answer")
        assert answer == {name: single[name] for name in answer}
    assert found[1]["label"] is None and "not readable as audio" in found[1]["note"]
    assert found[2]["label"] == "no speech" and found[2]["confidence"] is None and not found[2]["probabilities"]
    with pytest.raises(AppError, match="0 files"):
        client.predict(recordings=[], api_name="/answers")


@pytest.mark.parametrize("endpoint", ["answer", "answers"])
def test_a_model_that_is_not_there_is_said(client, server, clip, endpoint):
    sound, log = handle_file(clip), server[1].parent / "app.log"
    before = log.read_text()
    with pytest.raises(AppError, match="no model 'mine'; there are: "):
        client.predict([sound] if endpoint == "answers" else sound, "mine", api_name=f"/{endpoint}")
    said = [line for line in before.splitlines() if not line.startswith("a ready model")]   # without encoder's weights
    assert log.read_text() == before and len(said) == 1                                 # the address alone


def test_nothing_is_kept(client, server, clip):
    client.predict(handle_file(clip), api_name="/answer")
    client.predict([handle_file(clip), handle_file(__file__)], api_name="/answers")
    with pytest.raises(AppError):
        client.predict(handle_file(__file__), api_name="/answer")
    left = [path for path in server[1].rglob("*") if path.is_file()]
    assert not left


def test_several_people_with_the_same_recording_at_once(client, server, talk):
    """Each file is deleted when it is answered: that of one person must not be that of another."""
    names = [*models_of(client)[:1], *models_of(client)[-2:]]
    alone = {name: client.predict(handle_file(talk), name, api_name="/answer") for name in names}
    people = [Client(server[0], verbose=False, download_files=False) for _ in range(6)]
    jobs = [person.submit(handle_file(talk), names[k % 3], api_name="/answer") for k, person in enumerate(people)]
    for k, job in enumerate(jobs):
        assert job.result(timeout=HANG_SECONDS) == alone[names[k % 3]]


@pytest.mark.parametrize("endpoint", ["answer", "answers"])
def test_no_other_file_of_the_machine_is_heard_or_deleted(client, server, clip, demo, endpoint):
    """Asked past the client, which would upload the file itself."""
    def answer(path, **meta):
        file = {"path": str(path), **meta}
        asked = {"data": [[file] if endpoint == "answers" else file, models_of(client)[0]]}
        event = httpx.post(f"{server[0]}/gradio_api/call/{endpoint}", json=asked).json().get("event_id", "none")
        return httpx.get(f"{server[0]}/gradio_api/call/{endpoint}/{event}", timeout=HANG_SECONDS).text

    meta = {"meta": {"_type": "gradio.FileData"}}
    with clip.open("rb") as sound:                              # the same way does lead somewhere
        (uploaded,) = httpx.post(f"{server[0]}/gradio_api/upload", files={"files": sound}).json()
    said = answer(uploaded, **meta)
    assert "event: complete" in said and "confidence" in said
    for victim in (clip, demo[0] / "results/demo/config.json"):
        for kind in (meta, {}):
            said = answer(victim, **kind)
            assert "event: complete" not in said and "confidence" not in said and victim.exists()
    assert "send the file itself, not an address" in answer("https://example.org/large.wav", **meta)


@pytest.mark.parametrize("kind, says", [
    ("text", "not readable as audio"), ("silent", "silent"), ("short", "too short"), ("long", "at most 300 s")])
def test_sound_that_cannot_be_used_is_said(client, tmp_path, kind, says):
    samples = {"silent": np.zeros(8000), "short": np.ones(100), "long": np.zeros(8000 * 301)}.get(kind)
    path = tmp_path / "x.wav"
    path.write_text("text") if samples is None else write(tmp_path, path.name, samples, sr=8000)
    with pytest.raises(AppError, match=says):
        client.predict(handle_file(path), api_name="/answer")


def test_what_is_too_large_is_not_taken(client, tmp_path):
    path = tmp_path / "large.wav"
    path.write_bytes(bytes(21_000_000))
    with pytest.raises(Exception, match="(?i)size|large|413"):
        client.predict(handle_file(path), api_name="/answer")


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="127.0.0.2 is this machine on Linux alone")
def test_it_listens_to_this_machine_alone(server):
    """127.0.0.2 is loopback too, and would reach a server that listens on all addresses."""
    port = int(STARTED.search(server[0])[1])
    socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), 5)


def test_a_port_or_a_host_that_cannot_be_had_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as door:
        taken = door.getsockname()[1]
        with pytest.raises(UserError, match=f"port {taken}: in use by another program; name another with --port"):
            app.free_port("127.0.0.1", taken)
        assert app.free_port("127.0.0.1", None) in app.PORTS
    for host in ("192.0.2.1", "nowhere.invalid"):                   # of no machine: RFC 5737, RFC 6761
        with pytest.raises(UserError, match=f"--host {host}, port 7860: "):
            app.free_port(host, None)
    with pytest.raises(SystemExit):
        app.parse(["--port", "70000"])
    assert "--port: 70000 is not within 1 .. 65535" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["run", "gradio"])
def test_what_is_missing_is_one_line(missing, demo, tmp_path, monkeypatch):
    (tmp_path / "gradio.py").write_text('raise ImportError("No module named gradio")')
    if missing == "gradio":
        monkeypatch.setitem(UNNOISY, "PYTHONPATH", str(tmp_path))
    done = run("app.py", "--run", "demo" if missing == "gradio" else "nowhere", cwd=demo[0])
    says = {"run": "make one with train.py", "gradio": install_command("app")}[missing]
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.strip().splitlines()) == 1


# -- in a browser ----------------------------------------------------------------------------------
@pytest.fixture
def opened(browser):
    """opened(address, **look): a tab, and lists of what it asked other machines for and of errors on its console."""
    tabs = []

    def opened(address, **look):
        tab, elsewhere, errors = browser.new_page(**look), [], []
        tab.set_default_timeout(PATIENCE_MS)
        tab.on("request", lambda request: elsewhere.append(request.url)
               if not request.url.startswith((address, "data:", "blob:")) else None)
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(address)
        tabs.append(tab)
        return tab, elsewhere, errors

    yield opened
    for tab in tabs:
        tab.close()


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ANSWERED = re.compile(r"\d+% sure")


def test_a_person_uploads_a_clip(opened, server, clip):
    tab, elsewhere, errors = opened(server[0])
    tab.set_input_files("input[type=file]", clip)
    tab.locator(".message", has_text=ANSWERED).wait_for(timeout=PATIENCE_MS)        # without a button
    before = tab.locator(".message").inner_text()
    assert tab.locator("img.timeline").evaluate("image => image.naturalWidth") > 0
    with tab.expect_download() as download:
        tab.get_by_text("Download the table").click()
    table = pd.read_csv(download.value.path())
    assert download.value.suggested_filename == f"{clip.stem}-emotions.csv"
    label = max((name for name in table if name.startswith("p_")), key=weighted_mean_of(table))
    assert before.startswith(label.removeprefix("p_"))
    tab.get_by_label("model").click()
    tab.get_by_role("option").last.click()                              # another model on the same clip
    tab.wait_for_function("before => document.querySelector('.message').innerText != before", arg=before,
                          timeout=PATIENCE_MS)
    tab.locator(".message", has_text=ANSWERED).wait_for(timeout=PATIENCE_MS)
    assert not errors and not elsewhere


def weighted_mean_of(table):
    return lambda name: np.average(table[name], weights=table.speech_seconds)


def test_what_is_wrong_is_said_in_one_place(opened, server, clip, tmp_path):
    tab, _, _ = opened(server[0])
    (tmp_path / "text.wav").write_text("text")
    tab.set_input_files("input[type=file]", clip)
    tab.locator(".message", has_text=ANSWERED).wait_for(timeout=PATIENCE_MS)
    tab.get_by_label("Clear").first.click()
    tab.locator("img.timeline").wait_for(state="detached", timeout=PATIENCE_MS)
    assert not tab.locator(".message").inner_text()
    tab.set_input_files("input[type=file]", tmp_path / "text.wav")
    tab.locator(".message.problem", has_text="not readable as audio").wait_for(timeout=PATIENCE_MS)
    assert tab.locator(".toast-body").count() == 0 and tab.locator("img.timeline").count() == 0
    assert tab.locator(".message").count() == 1


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_an_example_is_answered_in_the_colours_and_the_width_of_the_page(opened, server, scheme, width):
    tab, _, errors = opened(server[0], color_scheme=scheme, viewport=dict(width=width, height=800))
    assert not re.search(r"--\w", tab.inner_text("body"))                 # no flag of a command line
    tab.get_by_text("happy, then sad").click()
    image = tab.locator("img.timeline")
    image.wait_for(timeout=PATIENCE_MS)
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    tall, corner = image.evaluate("""image => {
        const canvas = document.createElement("canvas"), ink = canvas.getContext("2d");
        ink.drawImage(image, 0, 0);
        return [image.naturalHeight > image.naturalWidth, ink.getImageData(1, 1, 1, 1).data[0]];
    }""")
    assert tall == (width == 390) and (corner < 64) == (scheme == "dark")
    assert not errors


def test_a_live_microphone_is_answered_again_and_again(browser, server, talk):
    """Chromium reads its microphone from a file, again and again."""
    chromium = browser.browser_type.launch(executable_path=CHROMIUM, args=[
        "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={talk}"])
    tab = chromium.new_page()
    tab.set_default_timeout(PATIENCE_MS)
    tab.goto(server[0])
    tab.get_by_role("tab", name="Live microphone").click()
    tab.get_by_role("button", name="Start").click()
    tab.locator(".message", has_text=ANSWERED).wait_for(timeout=PATIENCE_MS)
    before = tab.locator(".message").inner_text()
    tab.wait_for_function("before => document.querySelector('.message').innerText != before", arg=before,
                          timeout=PATIENCE_MS)
    tab.get_by_role("button", name="Stop").click()
    tab.get_by_role("button", name="Start").wait_for(timeout=PATIENCE_MS)
    assert tab.locator(".message.problem").count() == 0
    assert not [path for path in server[1].rglob("*") if path.is_file()]
    chromium.close()


def test_the_report_opens_in_a_browser(opened, pictures):
    tab, elsewhere, errors = opened((pictures / "report.html").as_uri())
    assert "Protocol" in tab.inner_text("body") and tab.locator("img").count() > 8
    tab.evaluate("for (const picture of document.images) picture.loading = 'eager'")
    tab.wait_for_function("[...document.images].every(picture => picture.naturalWidth > 0)")
    assert not errors and not elsewhere


def test_what_a_killed_page_left_behind_goes_at_the_next_start(tmp_path, monkeypatch):
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(uploads.tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f".draft-{this_machine()}-{ended.pid}-01234567-ser-app"
    (left / "upload").mkdir(parents=True)
    (left / "upload/voice.wav").write_bytes(b"private")
    with uploads.uploads_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder] and folder.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.iterdir())


# -- its parts -------------------------------------------------------------------------------------
def test_without_a_run_the_ready_model_is_offered(tmp_path):
    offered = app.choices(tmp_path / app.config.RUN_NAME)
    (name,) = offered
    assert name.endswith(" on MFCC, ready model") or name.endswith(" on Whisper encoder, ready model")
    assert offered[name] == {ready.ready_model(): 1.0}
    with pytest.raises(UserError, match="no trained model"):
        app.choices(tmp_path / "other")


def in_browser(y, rate):
    """What a browser sends of a microphone: the rate in Hz, and base64 of 16 bits a sample."""
    return f"{rate} {base64.b64encode((32767 * y).astype('<i2').tobytes()).decode()}"


def test_a_microphone_is_answered_as_a_recording_of_it(ready_folder, talk):
    y, rate = soundfile.read(talk, dtype="float32")
    y = y[:round(answers.LIVE_SECONDS * rate)]
    read, read_rate = answers.read_microphone(in_browser(y, rate))
    assert read_rate == rate and np.abs(read - y).max() < 2 / 32768
    live = answers.answer_live(read, rate, {ready_folder: 1.0}).answer
    whole = answers.answer_recording("x", ArrayRecording(y - y.mean(), rate), {ready_folder: 1.0}).answer
    assert live.label == whole.label
    assert live.probabilities == pytest.approx(whole.probabilities, abs=0.01)       # 16 bits
    assert answers.answer_live(y[:rate // 2], rate, {ready_folder: 1.0}) is None
    assert answers.answer_live(0.5 + 0 * y, rate, {ready_folder: 1.0}).answer.label == "pause"      # an offset alone


@pytest.mark.parametrize("sound", ["", "24000", "x AAAA", "24000 *", "24000 AAA", "0 AAAA", "-1 AAAA", "10000000 AAAA",
                                   "1000 AAAA", in_browser(np.zeros(9003), 3000)])
def test_what_is_no_microphone_is_said(sound):
    with pytest.raises(UserError, match="not the sound of a microphone"):
        answers.read_microphone(sound)


def test_m4a_is_answered_with_a_decoder(ready_folder, talk, tmp_path):
    av = pytest.importorskip("av")
    y, rate = soundfile.read(talk, dtype="float32")
    with av.open(str(tmp_path / "talk.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
        frame.rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    sound = (tmp_path / "talk.m4a").read_bytes()
    recording, (answer, *_) = app.analyse("talk.m4a", sound, {ready_folder: 1.0})
    assert recording.seconds == pytest.approx(len(y) / rate, abs=0.2)
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_without_a_decoder_its_name_is_said(ready_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="M4A.*" + re.escape(install_command("formats"))):
        app.analyse("talk.m4a", b"\0\0\0\x20ftypM4A " + bytes(100), {ready_folder: 1.0})


def test_names_of_files_and_emotions_are_text_in_the_page(ready_folder, talk):
    answer, threshold, windows = answers.answer_recording("<b>.wav", open_recording(talk), {ready_folder: 1.0})
    odd = answer._replace(label="<i>", notes=("<script>",))
    shown = page_parts.sentence(odd, threshold) + page_parts.timeline(odd, windows.assign(label='">'),
                                                                      open_recording(talk))
    assert not re.search('<b>|<i>|<script|alt="[^"]*">', shown) and "&lt;i&gt;" in shown


def test_drawing_and_answering_from_several_threads(ready_folder, talk):
    """Styles of matplotlib and the input of a LiteRT model are one for all threads."""
    def shown(dark):
        recording, (answer, _, windows) = app.analyse("talk.wav", talk.read_bytes(), {ready_folder: 1.0})
        return page_parts.timeline(answer, windows, recording, dark=dark)

    alone = {dark: shown(dark) for dark in (False, True)}
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(shown, [False, True] * 4)) == [alone[False], alone[True]] * 4
