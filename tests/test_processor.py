"""The same digits on other processors, as far as one machine can play another."""
import os
import subprocess
import sys

import pandas as pd
import pytest
from commands import HANG_SECONDS, ROOT, UNNOISY

from ser import demo_corpus, processor
from ser.errors import UserError
from study.training import convolution_precision

# What numerical libraries choose on a processor without AVX.
OLD_PROCESSOR = {"ONEDNN_MAX_CPU_ISA": "SSE41", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "OPENBLAS_CORETYPE": "Nehalem"}
ONE_NETWORK = ["--quick", "--features", "mfcc", "--models", "cnn1d", "--protocol", "stratified", "--jobs", "1", "--run",
               "one", "--set", "MODELS.cnn1d.batch_size=4", "--set", "MODELS.cnn1d.epochs=8", "--set", "EMA_DECAY=0",
               "--set", "N_AUGMENTED=0", "--set", "ENSEMBLE_SIZE=1", "--set", "N_FOLDS=2", "--folds", "0"]

pytestmark = pytest.mark.skipif(not processor.can_be_pinned(), reason="not an x86-64 processor")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Folder with 32 synthesised clips."""
    folder = tmp_path_factory.mktemp("clips")
    demo_corpus.write_corpus(folder, actors=2, intensities=(1,))
    return folder


def predictions(folder, clips, *arguments, **environment):
    words = [sys.executable, str(ROOT / "train.py"), "--data-dir", str(clips), *ONE_NETWORK, *arguments]
    done = subprocess.run(words, cwd=folder, env=UNNOISY | environment, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return pd.read_csv(folder / "results/one/predictions.csv.gz")


def test_pinned_the_digits_are_those_of_another_processor(clips, tmp_path):
    there, here, unpinned = (tmp_path / name for name in ("there", "here", "unpinned"))
    for folder in (there, here, unpinned):
        folder.mkdir()
    pinned = predictions(here, clips, "--reproducible")
    assert predictions(there, clips, "--reproducible", **OLD_PROCESSOR).equals(pinned)
    assert not predictions(unpinned, clips, **OLD_PROCESSOR).equals(pinned)     # so it does make a difference


def test_pinning_starts_the_same_command_again_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from ser import processor
from ser.errors import UserError
from study.training import convolution_precision
print("started", processor.is_pinned(), flush=True)
processor.pin()
print(sys.argv[1:], [os.environ[name] for name in processor.PINNED])
""")
    done = subprocess.run([sys.executable, script, "a b", "--c"], capture_output=True, text=True, env=UNNOISY)
    assert done.stdout.splitlines() == ["started False", "started True",
                                        f"['a b', '--c'] {list(processor.PINNED.values())}"]


def test_bfloat16_is_for_processors_that_have_it_and_may_use_it(monkeypatch):
    monkeypatch.setattr("study.training.has_bfloat16", lambda: True)
    assert [convolution_precision(setting) for setting in ("auto", "float32", "bfloat16")] == [
        "bfloat16", "float32", "bfloat16"]
    monkeypatch.setattr("study.training.has_bfloat16", lambda: False)
    assert [convolution_precision(setting) for setting in ("auto", "float32")] == ["float32", "float32"]
    with pytest.raises(UserError, match="does not multiply in it"):
        convolution_precision("bfloat16")
    for name, value in processor.PINNED.items():
        monkeypatch.setitem(os.environ, name, value)
    assert processor.is_pinned() and not processor.has_bfloat16()


def test_the_flag_is_refused_where_workers_are_elsewhere(capsys):
    import train
    with pytest.raises(SystemExit):
        train.parse(["--reproducible", "--backend", "ray"])
    assert "argument --reproducible" in capsys.readouterr().err
