"""The page, as a program and as a person in a browser use it."""
import os
import re
import socket
import subprocess
import time

import httpx
import numpy as np
import pandas as pd
import pytest
from commands import HANG_SECONDS, UNNOISY, command, run
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from sounds import write

import app
from ser.files import this_machine
from ser.settings import install_command

STARTED = re.compile(r"http://127\.0\.0\.1:(\d+)")
PATIENCE_MS = 1000 * HANG_SECONDS
ROUNDING = 1e-6             # predict.py writes six digits


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):
    """Address of a running page with the demo's networks, and the folder for its temporary files."""
    scratch = tmp_path_factory.mktemp("scratch")
    words, how = command("app.py", "--run", "demo", "--port", free_port(), cwd=demo[0])
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


def networks_of(client):
    (endpoint,) = client.view_api(return_format="dict", print_info=False)["named_endpoints"].values()
    return endpoint["parameters"][1]["type"]["enum"]


@pytest.mark.parametrize("number, options", [(0, []), (1, ["--ensemble"]), (-1, None)])
def test_the_page_answers_as_predict_does(client, clip, demo, tmp_path, number, options, predicts):
    choice = networks_of(client)[number]
    options = ["--model", f"results/demo/fits/{choice}"] if options is None else options
    label, plot, sentence = client.predict(handle_file(clip), choice, api_name="/answer")
    done = predicts([clip, "--run", "demo", *options, "--csv", tmp_path / "out.csv"], demo[0])
    assert done.returncode == 0 and "DEMO" in done.stderr
    row = pd.read_csv(tmp_path / "out.csv").iloc[0]
    assert label["label"] == row.label and f"**{row.label}" in sentence and plot["type"] == "matplotlib"
    given = {f"p_{entry['label']}": entry["confidence"] for entry in label["confidences"]}
    assert given == pytest.approx({name: row[name] for name in row.index if name.startswith("p_")}, abs=ROUNDING)


def test_nothing_is_kept(client, server, clip):
    client.predict(handle_file(clip), networks_of(client)[0], api_name="/answer")
    with pytest.raises(AppError):
        client.predict(handle_file(__file__), networks_of(client)[0], api_name="/answer")
    left = [path for path in server[1].rglob("*") if path.is_file()]
    assert not left


def test_no_other_file_of_the_machine_is_heard_or_deleted(client, server, clip, demo):
    """Asked past the client, which would upload the file itself."""
    def answer(path):
        asked = {"data": [{"path": str(path), "meta": {"_type": "gradio.FileData"}}, networks_of(client)[0]]}
        event = httpx.post(f"{server[0]}/gradio_api/call/answer", json=asked).json().get("event_id", "none")
        return httpx.get(f"{server[0]}/gradio_api/call/answer/{event}", timeout=HANG_SECONDS).text

    with clip.open("rb") as sound:                              # the same way does lead somewhere
        (uploaded,) = httpx.post(f"{server[0]}/gradio_api/upload", files={"files": sound}).json()
    said = answer(uploaded)
    assert "event: complete" in said and "confidence" in said
    for victim in (clip, demo[0] / "results/demo/config.json"):
        said = answer(victim)
        assert "event: complete" not in said and "confidence" not in said and victim.exists()


@pytest.mark.parametrize("kind, says", [
    ("text", "not readable as audio"), ("silent", "silent"), ("short", "too short"), ("long", "at most 300 s")])
def test_sound_that_cannot_be_used_is_said(client, tmp_path, kind, says):
    samples = {"silent": np.zeros(8000), "short": np.ones(100), "long": np.zeros(8000 * 301)}.get(kind)
    path = tmp_path / "x.wav"
    path.write_text("text") if samples is None else write(tmp_path, path.name, samples, sr=8000)
    with pytest.raises(AppError, match=says):
        client.predict(handle_file(path), networks_of(client)[0], api_name="/answer")


def test_what_is_too_large_is_not_taken(client, tmp_path):
    path = tmp_path / "large.wav"
    path.write_bytes(bytes(21_000_000))
    with pytest.raises(Exception, match="(?i)size|large|413"):
        client.predict(handle_file(path), networks_of(client)[0], api_name="/answer")


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="127.0.0.2 is this machine on Linux alone")
def test_it_listens_to_this_machine_alone(server):
    """127.0.0.2 is loopback too, and would reach a server that listens on all addresses."""
    port = int(STARTED.search(server[0])[1])
    socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), 5)


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
    """opened(address): a tab, and lists of what it asked other machines for and of errors on its console."""
    tabs = []

    def opened(address):
        tab, elsewhere, errors = browser.new_page(), [], []
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


def test_a_person_uploads_a_clip(opened, server, clip):
    tab, elsewhere, errors = opened(server[0])
    tab.set_input_files("input[type=file]", clip)
    tab.get_by_role("button", name="Which emotion?").click()
    tab.get_by_text(re.compile(r"\d+% sure")).wait_for(timeout=PATIENCE_MS)
    before = tab.get_by_text(re.compile(r"\d+% sure")).inner_text()
    tab.get_by_label("model").click()
    tab.get_by_role("option").last.click()                              # another network on the same clip
    tab.get_by_role("button", name="Which emotion?").click()
    tab.wait_for_function("before => [...document.querySelectorAll('p')].some(p => /% sure/.test(p.innerText) && "
                          "p.innerText != before)", arg=before, timeout=PATIENCE_MS)
    assert tab.locator("img").count() >= 1                              # the timeline
    assert "know nothing of real voices" in tab.inner_text("body")
    assert not errors and not elsewhere


def test_the_report_opens_in_a_browser(opened, demo, tmp_path):
    done = run("viz.py", "--run", "demo", "--out", tmp_path, cwd=demo[0])
    assert done.returncode == 0, done.stderr
    tab, elsewhere, errors = opened((tmp_path / "report.html").as_uri())
    assert "Protocol" in tab.inner_text("body") and tab.locator("img").count() > 8
    tab.evaluate("for (const picture of document.images) picture.loading = 'eager'")
    tab.wait_for_function("[...document.images].every(picture => picture.naturalWidth > 0)")
    assert not errors and not elsewhere


def test_what_a_killed_page_left_behind_goes_at_the_next_start(tmp_path, monkeypatch):
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(app.tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f".draft-{this_machine()}-{ended.pid}-01234567-ser-app"
    (left / "upload").mkdir(parents=True)
    (left / "upload/voice.wav").write_bytes(b"private")
    with app.uploads_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder] and folder.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.iterdir())
