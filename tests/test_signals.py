"""Ctrl-C and SIGTERM: among the imports, in a block that defers them, in a worker."""
import os
import signal
import subprocess
import sys
import threading

import pytest
from commands import HANG_SECONDS, ROOT, UNNOISY

from ser import signals

# Runs a script as the command line does, and interrupts it when it imports pandas.
STOPPED = """
import runpy, sys
class Stop:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("script, arguments", [
    ("train.py", ["--demo"]), ("viz.py", []), ("predict.py", ["clip.wav"]), ("app.py", []),
    ("data_preprocessing.py", [])])
def test_an_interrupt_among_the_imports_is_one_line(tmp_path, script, arguments):
    done = subprocess.run([sys.executable, "-c", STOPPED, ROOT / script, *arguments], cwd=tmp_path, text=True,
                          capture_output=True, timeout=HANG_SECONDS, env=UNNOISY | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGINT and done.stderr.strip() == "stopped"
    assert not list(tmp_path.iterdir())


def test_other_errors_keep_their_traceback():
    program = "from ser import signals; signals.install_interrupt_handler(); 1 / 0"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert done.returncode == 1 and "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr


@pytest.fixture
def handlers():
    """Puts the handlers of both signals back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deferred_interrupt_takes_effect_at_the_end_of_the_block(handlers, number):
    signals.treat_sigterm_as_interrupt()
    finished = False
    with pytest.raises(KeyboardInterrupt):
        with signals.defer_interrupts():
            signal.raise_signal(number)
            signal.raise_signal(number)
            finished = True
    assert finished
    with pytest.raises(KeyboardInterrupt):                      # the handlers are back
        signal.raise_signal(number)


def test_nothing_is_deferred_outside_the_main_thread():
    """Signals do not reach other threads, where a handler cannot be set: a dask worker runs its tasks there."""
    def block():
        with signals.defer_interrupts():
            done.append(True)
        signals.ignore_sigint_in_worker(driver=-1)

    done, before = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert done and signal.getsignal(signal.SIGINT) == before


def test_workers_ignore_ctrl_c_and_the_process_that_started_them_does_not(handlers):
    signals.ignore_sigint_in_worker(driver=os.getpid())
    assert signal.getsignal(signal.SIGINT) == handlers[signal.SIGINT]
    signals.ignore_sigint_in_worker(driver=-1)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_second_ctrl_c_does_not_break_off_the_cleaning_up(handlers):
    signals.ignore_interrupts()
    signal.raise_signal(signal.SIGINT)
