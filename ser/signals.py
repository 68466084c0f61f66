"""Signals, all of them: Ctrl-C (SIGINT), SIGTERM and SIGHUP end a command with one line, in every phase and process."""
import contextlib
import os
import signal
import sys
import threading
import time
import warnings

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAME_SECONDS = 3            # a second signal within this is taken for the first, and breaks off no cleaning up
WATCH = "follows its parent"
PARENT_SECONDS = 2          # between two looks of a worker whether its parent is still there


def install_interrupt_handler():
    """From here on each of STOPPING raises KeyboardInterrupt in the main thread, unless whoever started the command has
    it ignored (nohup, a shell's &); where nobody catches that, "stopped" is printed in place of a traceback.

    A file that is being written when it comes is cleared away as after any error (files.write_atomically).
    """
    def print_error(kind, error, trace):
        if issubclass(kind, KeyboardInterrupt):
            print("\nstopped", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)

    last = -SAME_SECONDS

    def stop(number, frame):
        nonlocal last
        if time.monotonic() - last >= SAME_SECONDS:
            last = time.monotonic()
            raise KeyboardInterrupt

    sys.excepthook = print_error
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    # joblib's warning about tasks that its workers had begun when an interrupt or an error came
    warnings.filterwarnings("ignore", ".*still being processed by the workers have been cancelled")


def ignore_interrupts():
    """No second Ctrl-C breaks off the cleaning up after the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def interrupts_kept_from_children():
    """Processes started within the block never see Ctrl-C, which a terminal sends to every one of them: the one that
    started them shall end them. An interrupt within the block takes effect at its end."""
    if not hasattr(signal, "pthread_sigmask"):              # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])      # which a process inherits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def follow_driver(driver):
    """Called in a task, with the id of the process that hands them out: a worker that this process has started leaves
    Ctrl-C to it, and ends soon after it, however that ended."""
    if os.getpid() == driver:
        return
    warnings.simplefilter("ignore")                         # of libraries
    if in_main_thread():                                    # dask runs tasks in another thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() == driver and not any(thread.name == WATCH for thread in threading.enumerate()):
        threading.Thread(target=end_with, args=(driver,), name=WATCH, daemon=True).start()


def begin_worker(driver):
    """Called when a worker of this machine begins, before it has a task: as `follow_driver`, and over if its driver is
    gone by now."""
    if os.getppid() != driver:
        os._exit(1)
    follow_driver(driver)


def end_with(parent):
    """End this process as soon as its parent is gone, whatever it is doing."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def defer_interrupts():
    """An interrupt within the block takes effect at its end."""
    if not in_main_thread():                                # only the main thread receives signals
        yield
        return
    received = []
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in received[:1]:
        signal.raise_signal(number)


def in_main_thread():
    return threading.current_thread() is threading.main_thread()
