"""Switches of the whole process, each used by one thread at a time: on two threads, the one that leaves last would put
back what the other had set, or find it undone meanwhile.

    with one_blas_thread: ...           matrix products in one order, to the last digit, whichever process this is
    with quiet_libraries: ...           notices of compiled libraries are kept from the user

Both can be decorators too.
"""
import contextlib
import os
import threading

from threadpoolctl import threadpool_limits


class Switch(contextlib.ContextDecorator):
    """A context that other threads wait for; the thread that is in it may enter it again.

    make_context : () -> the context manager that is entered
    """

    def __init__(self, make_context):
        self.make_context, self.lock = make_context, threading.RLock()
        self.contexts = []                      # of the thread that is in it

    def __enter__(self):
        self.lock.acquire()
        try:
            context = self.make_context()
            context.__enter__()
            self.contexts.append(context)
        except BaseException:
            self.lock.release()
            raise

    def __exit__(self, *problem):
        try:
            self.contexts.pop().__exit__(None, None, None)
        finally:
            self.lock.release()


@contextlib.contextmanager
def without_standard_error():
    """What is written to file descriptor 2 goes nowhere; errors are raised as ever."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


one_blas_thread = Switch(lambda: threadpool_limits(1))
quiet_libraries = Switch(without_standard_error)
