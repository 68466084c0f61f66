"""What several test files share: a tiny corpus, settings that cache in a temporary folder, the real data."""
import fcntl
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import run

import config
import predict
import train
from ser import demo_corpus
from ser.errors import run_command
from ser.settings import read_settings

# A shell starts background jobs with Ctrl-C ignored, and commands inherit that; here they are to listen to it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)    # nohup has it ignored


@pytest.hookimpl(tryfirst=True)                 # before the fixtures, some of which build networks
def pytest_runtest_setup():
    """Keras draws the seeds of weights and dropout that have none of their own from Python's `random`."""
    random.seed(0)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    """A folder with one synthesised actor: 16 clips, two of each emotion. To be read, not changed."""
    folder = tmp_path_factory.mktemp("corpus")
    demo_corpus.write_corpus(folder, actors=1, intensities=(1,))
    return folder


@pytest.fixture
def mixed_folder(demo_folder, tmp_path):
    """The demo corpus as Kaggle nests it, among songs, videos, notes and a wrong name."""
    shutil.copytree(demo_folder, tmp_path / "mixed")
    shutil.copytree(demo_folder, tmp_path / "mixed" / "audio_speech_actors_01-24")
    for name in ("03-02-05-01-01-01-01.wav", "01-01-05-01-01-01-01.wav", "02-01-05-01-01-01-01.mp4",
                 "notes.txt", "03-01-09-01-01-01-01.wav", "._03-01-05-01-01-01-01.wav"):
        (tmp_path / "mixed" / "Actor_01" / name).write_bytes(b"not read")
    return tmp_path / "mixed"


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    """settings(N_AUGMENTED=1, ...): the Settings of config.py with these changes; every call has a cache of its own."""
    def changed(**changes):
        return read_settings(config).replace(**{"CACHE_DIR": tmp_path_factory.mktemp("cache")} | changes)

    return changed


@pytest.fixture(scope="session")
def ravdess():
    """Folder of the real data; the test is skipped where RAVDESS_DIR does not name one."""
    if not os.environ.get("RAVDESS_DIR"):
        pytest.skip("RAVDESS_DIR is not set")
    return Path(os.environ["RAVDESS_DIR"])


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Folder where `train.py --demo` has run to its end, and what it printed. To be read, not changed."""
    folder = once(tmp_path_factory, "demo", lambda folder: run("train.py", "--demo", "--jobs", 2, cwd=folder))
    code, out, err = json.loads((folder / "printed.json").read_text())
    assert code == 0, err
    return folder, SimpleNamespace(returncode=code, stdout=out, stderr=err)


@pytest.fixture(scope="session")
def pictures(demo, tmp_path_factory):
    """Folder with what `viz.py` draws of the demo. To be read, not changed."""
    folder = once(tmp_path_factory, "pictures", lambda folder: run(
        "viz.py", "--run", "demo", "--out", folder / "visualizations", cwd=demo[0]))
    code, _, err = json.loads((folder / "printed.json").read_text())
    assert code == 0, err
    return folder / "visualizations"


def once(tmp_path_factory, name, make):
    """A folder that `make(folder)` has filled once for all processes of pytest-xdist: the first that needs it makes it,
    the others wait. What the command printed is in printed.json."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "printed.json").exists():
            done = make(folder)
            (folder / "printed.json").write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    return folder


@pytest.fixture
def with_cache(demo, tmp_path):
    """A folder where `train.py --demo` finds its clips and features, and no run yet."""
    shutil.copytree(demo[0] / "cache", tmp_path / "study" / "cache")
    return tmp_path / "study"


@pytest.fixture(scope="session")
def one_thread():
    """TensorFlow's threads can only be set before its first network: whoever makes one asks for this."""
    from study.backend import use_one_thread
    use_one_thread()


@pytest.fixture(scope="session", autouse=True)
def one_thread_from_the_start(request):
    """Where a test file has loaded TensorFlow already, in whatever order the files run."""
    if "tensorflow" in sys.modules:
        request.getfixturevalue("one_thread")


@pytest.fixture
def predicts(monkeypatch, capsys, one_thread):
    """predicts(arguments, folder): predict.py in this process, with TensorFlow loaded; as the command would end."""
    def predicts(arguments, folder):
        monkeypatch.chdir(folder)
        return ended("predict.py", predict, arguments, capsys)

    return predicts


@pytest.fixture
def trains(monkeypatch, capsys):
    """trains(arguments, folder): train.py in this process, for what ends before the first fit; as `commands.run`."""
    def trains(arguments, folder):
        monkeypatch.chdir(folder)
        monkeypatch.delenv("RAVDESS_DIR", raising=False)
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        for name in ("RESULTS_DIR", "CACHE_DIR"):
            monkeypatch.setattr(config, name, Path(getattr(config, name).name))
        return ended("train.py", train, arguments, capsys)

    return trains


def ended(name, script, arguments, capsys):
    """A script in this process: what the command would print, and its exit status."""
    code = 0
    try:
        run_command(name, script.main, script.parse(list(map(str, arguments))))
    except SystemExit as stop:
        code = stop.code
    shown = capsys.readouterr()
    if isinstance(code, str):
        return SimpleNamespace(returncode=1, stdout=shown.out, stderr=f"{shown.err}{code}\n")
    return SimpleNamespace(returncode=code, stdout=shown.out, stderr=shown.err)


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; tests are skipped where there is none."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
