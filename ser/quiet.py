"""Notices that compiled libraries write to the standard error output past Python, kept from the user."""
import contextlib
import os


@contextlib.contextmanager
def quiet_libraries():
    """What is written to file descriptor 2 within the block goes nowhere; errors are raised as ever."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
