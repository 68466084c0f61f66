"""Switches of the process that threads share: one thread at a time, and afterwards all is as before."""
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

from ser.switches import Switch, one_blas_thread, quiet_libraries

np.zeros((2, 2)) @ np.zeros((2, 2))         # NumPy's BLAS is loaded


def blas_threads():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def error_output():
    """What file descriptor 2 leads to."""
    status = os.fstat(2)
    return status.st_dev, status.st_ino


@pytest.fixture
def three_threads():
    with threadpoolctl.threadpool_limits(3):
        yield


@pytest.mark.parametrize("switch, state", [(one_blas_thread, blas_threads), (quiet_libraries, error_output)])
def test_many_threads_find_it_on_and_leave_it_off(switch, state):
    """Each thread comes while another is inside."""
    def inside(_):
        start.wait()
        with switch:
            return state()

    before, start = state(), threading.Barrier(4)
    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(inside, range(4)))
    assert all(one == seen[0] for one in seen) and state() == before
    assert seen[0] == [1] * len(before) if state is blas_threads else seen[0] != before


def test_a_thread_may_enter_again_and_errors_pass(three_threads, capfd):
    @one_blas_thread
    def fails():
        with one_blas_thread:
            raise KeyError("as it is")

    before = blas_threads()
    with pytest.raises(KeyError, match="as it is"):
        fails()
    assert blas_threads() == before
    with quiet_libraries:
        os.write(2, b"hidden")
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"


def test_a_switch_that_fails_keeps_nobody_waiting():
    switch = Switch(lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), switch:
            raise AssertionError("not reached")
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(switch.lock.acquire, timeout=5).result()
