"""Signals, all of them: Ctrl-C (SIGINT) and SIGTERM end a command with one line, in every phase and process."""
import contextlib
import os
import signal
import sys
import threading
import warnings


def install_interrupt_handler():
    """From here on an interrupt that nobody catches prints "stopped" in place of a traceback; the exit status stays.

    A file that is being written when it comes is cleared away as after any error (files.write_atomically).
    """
    def print_error(kind, error, trace):
        if issubclass(kind, KeyboardInterrupt):
            print("\nstopped", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = print_error
    # joblib's warning about tasks that its workers had begun when an interrupt or an error came
    warnings.filterwarnings("ignore", ".*still being processed by the workers have been cancelled")


def treat_sigterm_as_interrupt():
    """SIGTERM raises KeyboardInterrupt in the main thread, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def ignore_interrupts():
    """No second Ctrl-C breaks off the cleaning up after the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ignore_sigint_in_worker(driver):
    """Called in a task: Ctrl-C in a terminal reaches every process; only `driver` (a process id) shall act on it."""
    if os.getpid() != driver and in_main_thread():          # dask runs tasks in another thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def defer_interrupts():
    """An interrupt within the block takes effect at its end."""
    if not in_main_thread():                                # only the main thread receives signals
        yield
        return
    received = []
    before = {number: signal.signal(number, lambda number, frame: received.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in received[:1]:
        signal.raise_signal(number)


def in_main_thread():
    return threading.current_thread() is threading.main_thread()
