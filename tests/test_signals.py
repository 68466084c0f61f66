"""Ctrl-C and SIGTERM: among the imports, in a block that defers them, in a worker."""
import os
import signal
import subprocess
import sys
import threading
import time

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
    before, hook = {number: signal.getsignal(number) for number in signals.STOPPING}, sys.excepthook
    yield before
    sys.excepthook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deferred_interrupt_takes_effect_at_the_end_of_the_block(handlers, number):
    signals.install_interrupt_handler()
    finished = False
    with pytest.raises(KeyboardInterrupt):
        with signals.defer_interrupts():
            signal.raise_signal(number)
            signal.raise_signal(number)
            finished = True
    assert finished
    signals.install_interrupt_handler()                         # a second one at once would be taken for the first
    with pytest.raises(KeyboardInterrupt):                      # and the handlers are back
        signal.raise_signal(number)


def test_nothing_is_deferred_outside_the_main_thread():
    """Signals do not reach other threads, where a handler cannot be set: a dask worker runs its tasks there."""
    def block():
        with signals.defer_interrupts():
            done.append(True)
        signals.follow_driver(driver=-1)

    done, before = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert done and signal.getsignal(signal.SIGINT) == before


def test_workers_ignore_ctrl_c_and_the_process_that_started_them_does_not(handlers):
    signals.follow_driver(driver=os.getpid())
    assert signal.getsignal(signal.SIGINT) == handlers[signal.SIGINT]
    signals.follow_driver(driver=-1)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_second_ctrl_c_does_not_break_off_the_cleaning_up(handlers):
    signals.ignore_interrupts()
    signal.raise_signal(signal.SIGINT)


def test_a_second_signal_within_a_moment_is_the_first(handlers):
    """The second press of Ctrl-C, or the SIGHUP that follows a SIGTERM, breaks off no cleaning up."""
    signals.install_interrupt_handler()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    for number in signals.STOPPING:
        signal.raise_signal(number)


def test_a_signal_that_is_ignored_stays_so(handlers):
    """As nohup and a shell's & have it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install_interrupt_handler()
    signal.raise_signal(signal.SIGHUP)


CHILD = "import signal, sys, time; print('ready', flush=True); time.sleep(60)"


def test_processes_started_in_the_block_do_not_see_ctrl_c():
    with signals.interrupts_kept_from_children():
        kept = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for child in (kept, other):
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
    other.wait(timeout=HANG_SECONDS)
    assert kept.poll() is None
    kept.kill()
    kept.wait()


DRIVER = """
import os, subprocess, sys, time
worker = "import os, sys, time; from ser.signals import follow_driver; follow_driver(int(sys.argv[1])); " \\
    "print('ready', os.getpid(), flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", worker, str(os.getpid())], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_worker_ends_soon_after_its_driver_however_that_ended(number):
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    worker = int(driver.stdout.readline().split()[1])
    driver.send_signal(number)
    driver.wait()
    until = time.monotonic() + 60
    while is_running(worker) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_running(worker)


def is_running(process):
    """Whether there is a process that has not ended; one that nobody has waited for counts as ended."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


IDLE = """
import time
import joblib, psutil
from ser import parallel
with parallel.parallel_backend("loky") as workers:          # one task for two workers
    for _ in parallel.run([joblib.delayed(print)(end="")], 2):
        print("ready", *[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
        time.sleep(600)
"""


def test_a_worker_without_a_task_ends_with_its_driver_too():
    pytest.importorskip("psutil")
    driver = subprocess.Popen([sys.executable, "-c", IDLE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    workers = list(map(int, driver.stdout.readline().split()[1:]))
    driver.kill()
    driver.wait()
    until = time.monotonic() + 60
    while any(map(is_running, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(workers) >= 2 and not any(map(is_running, workers))
