"""What several test files share: a tiny corpus, settings that cache in a temporary folder, the real data."""
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import run

import config
from ser import demo_corpus

# A shell starts background jobs with Ctrl-C ignored, and commands inherit that; here they are to listen to it.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
    """settings(N_AUGMENTED=1, ...): config as a namespace with these changes; every call has a cache of its own."""
    known = {name: value for name, value in vars(config).items() if name.isupper()}

    def changed(**changes):
        unknown = set(changes) - set(known)
        assert not unknown, f"config has no {unknown}"
        return SimpleNamespace(**known | {"CACHE_DIR": tmp_path_factory.mktemp("cache")} | changes)

    return changed


@pytest.fixture(scope="session")
def ravdess():
    """Folder of the real data; the test is skipped where RAVDESS_DIR does not name one."""
    if not os.environ.get("RAVDESS_DIR"):
        pytest.skip("RAVDESS_DIR is not set")
    return Path(os.environ["RAVDESS_DIR"])


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Folder where `train.py --demo` has run to its end, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = run("train.py", "--demo", "--jobs", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="session")
def one_thread():
    """TensorFlow's threads can only be set before its first network: whoever makes one asks for this."""
    from study import networks
    networks.use_one_thread()
