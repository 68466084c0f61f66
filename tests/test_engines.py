"""The study on a real dask scheduler with two worker processes, and on a local ray, over loopback."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from commands import SHORT, UNNOISY, command, digits, run
from joblib.externals.loky import get_reusable_executor

import engines


@contextlib.contextmanager
def dask_cluster(folder, workers=2, threads=1):
    """A scheduler and worker processes, none of them in the project's folder: gives the address and the workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    start = lambda *words: subprocess.Popen(                                                        # noqa: E731
        [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]], cwd=folder, text=True,
        env={**UNNOISY, "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    processes = [start("scheduler", "--port", address.split(":")[1], "--no-dashboard")]
    try:
        processes += [start("worker", address, "--no-nanny", "--no-dashboard", "--nthreads", str(threads))
                      for _ in range(workers)]
        import distributed
        with distributed.Client(address, timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, processes[1:]
    finally:
        for process in processes[::-1]:
            process.kill()
            process.wait()


def test_dask_gives_the_same_digits_though_a_worker_is_killed(demo, tmp_path):
    """Workers see neither the project nor its cache; one dies in the middle of its fit, the other takes over."""
    pytest.importorskip("distributed")
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    study.mkdir(), elsewhere.mkdir()
    with dask_cluster(elsewhere) as (address, workers):
        words, how = command("train.py", *SHORT, "--backend", "dask", "--scheduler", address, cwd=study)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        while process.poll() is None and not all(fits(worker.pid) for worker in workers):
            time.sleep(0.1)
        workers[0].kill()
        out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert "2 side by side" in out and digits(study) == mlps(demo)
    assert not list(elsewhere.glob("results")) and not list(elsewhere.glob("cache"))


def test_ray_gives_the_same_digits(demo, tmp_path):
    pytest.importorskip("ray")
    done = run("train.py", *SHORT, "--backend", "ray", "--jobs", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 side by side" in done.stdout and digits(tmp_path) == mlps(demo)


def test_a_killed_loky_worker_is_one_clear_line_and_costs_only_unfinished_fits(demo, tmp_path):
    """Both mlp fits are done before the cnn1d fits, which the kill interrupts."""
    both = ["--demo", "--models", "mlp", "cnn1d", "--jobs", 2]
    assert run("train.py", *SHORT, "--jobs", 2, cwd=tmp_path).returncode == 0
    words, how = command("train.py", *both, cwd=tmp_path)
    how["env"] = {**how["env"], "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    facts = ""
    for line in process.stdout:
        facts += line
        if "side by side" in line:                      # the last before the fits
            break
    while process.poll() is None and len(at_work := fitting(process.pid)) < 2:
        time.sleep(0.1)
    for worker in at_work:
        os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in err and "2 finished before, 2 to do" in facts
    assert re.search(r"a worker ended before its task did.*Finished fits are kept", err)
    assert digits(tmp_path) == mlps(demo)


def test_workers_that_grow_are_kept():
    """As many processes as workers, though every task leaves 400 MB behind; loky would end them."""
    pytest.importorskip("psutil")
    with engines.engine("loky", jobs=2) as jobs:
        pids = joblib.Parallel(jobs, batch_size=1)(joblib.delayed(grow)() for _ in range(8))
    get_reusable_executor().shutdown(wait=True)
    assert len(set(pids)) == 2


def grow(left_behind=[]):                                                                           # noqa: B006
    engines.stay()
    left_behind.append(np.ones(50_000_000))
    time.sleep(1.1)                                     # loky looks once a second
    return os.getpid()


def mlps(demo):
    """The mlp fits of the uninterrupted run."""
    return {name: fit for name, fit in digits(demo[0]).items() if "-mlp-" in name}


def fitting(pid):
    """Process ids of the loky workers started by `pid` that are at work on a fit."""
    found = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid=,args="], capture_output=True, text=True).stdout
    workers = [int(line.split()[0]) for line in found.splitlines() if "popen_loky" in line]
    return [worker for worker in workers if fits(worker)]


def fits(pid):
    """Whether a process has loaded TensorFlow, which only a fit does."""
    maps = Path(f"/proc/{pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc to see when the fits are under way")
    return "tensorflow" in maps.read_text()


def test_workers_with_more_threads_are_refused(tmp_path):
    pytest.importorskip("distributed")
    with dask_cluster(tmp_path, workers=1, threads=2) as (address, _):
        with pytest.raises(engines.EngineError, match="--nthreads 1"):
            with engines.engine("dask", address):
                raise AssertionError("not reached")


@pytest.mark.parametrize("arguments, words", [
    (["--backend", "dask", "--scheduler", "127.0.0.1:9"], "no dask scheduler answers at 127.0.0.1:9"),
    (["--backend", "ray", "--scheduler", "127.0.0.1:9"], "no ray cluster answers at 127.0.0.1:9"),
    (["--backend", "dask"], "--backend dask needs --scheduler HOST:PORT"),
    (["--scheduler", "127.0.0.1:9"], "only for --backend dask or ray"),
    (["--backend", "slurm"], "invalid choice: 'slurm'"),
])
def test_an_unreachable_engine_is_one_clear_line(tmp_path, arguments, words):
    done = run("train.py", *SHORT, *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(engines.EngineError, match="pip install -r requirements-dask.txt"):
        with engines.engine("dask", "127.0.0.1:9"):
            raise AssertionError("not reached")
