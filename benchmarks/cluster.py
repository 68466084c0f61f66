"""A dask cluster on this machine, for tests and for faults that are done on purpose."""
import contextlib
import os
import socket
import subprocess
import sys

START_SECONDS = 120             # that workers may take to come


@contextlib.contextmanager
def dask_cluster(folder, workers=2, threads=1):
    """A scheduler and worker processes that run in `folder`: gives its address, its process and those of the workers.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"

    def start(role, *words):
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{role}", *words, "--no-dashboard"], cwd=folder, text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    processes = [start("scheduler", "--port", address.split(":")[1])]
    try:
        processes += [start("worker", address, "--no-nanny", "--nthreads", str(threads)) for _ in range(workers)]
        import distributed
        with distributed.Client(address, timeout=START_SECONDS) as client:
            client.wait_for_workers(workers, timeout=START_SECONDS)
        yield address, processes[0], processes[1:]
    finally:
        for process in processes[::-1]:
            process.kill()
            process.wait()
