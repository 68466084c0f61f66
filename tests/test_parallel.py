"""The study on a real dask scheduler with two worker processes, and on a local ray, over loopback."""
import os
import re
import shutil
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
from commands import HANG_SECONDS, ROOT, SHORT, UNNOISY, digits, run
from joblib.externals.loky import get_reusable_executor

from benchmarks.cluster import dask_cluster
from ser import parallel
from ser.errors import UserError
from ser.settings import install_command


def test_dask_gives_the_same_digits_though_a_worker_is_killed(demo, with_cache, tmp_path):
    """Workers see neither the project nor its cache; one dies in the middle of its fit, the other takes over.

    The other one also needs arrays that it has not used before, whoever had them first: functionals and frames.
    """
    pytest.importorskip("distributed")
    study, elsewhere = with_cache, tmp_path / "elsewhere"
    elsewhere.mkdir()
    with dask_cluster(elsewhere) as (address, _, workers):
        done = run_with_killed_workers(tmp_path / "killed", 1, "--demo", "--models", "mlp", "dtw", "--backend", "dask",
                                       "--scheduler", address, cwd=study)
        assert [worker.poll() for worker in workers].count(None) == 1
    assert done.returncode == 0, done.stderr
    assert "2 side by side" in done.stdout
    assert digits(study) == {name: fit for name, fit in digits(demo[0]).items() if "-mlp-" in name or "-dtw-" in name}
    assert not list(elsewhere.glob("results")) and not list(elsewhere.glob("cache"))


def test_ray_gives_the_same_digits(demo, with_cache):
    pytest.importorskip("ray")
    done = run("train.py", "--demo", "--models", "mlp", "dtw", "--folds", 0, "--backend", "ray", "--jobs", 2,
               cwd=with_cache)
    assert done.returncode == 0, done.stderr
    names = {"mfcc-mlp-fold0", "mfcc-dtw-fold0"}
    assert "2 side by side" in done.stdout
    assert digits(with_cache) == {name: fit for name, fit in digits(demo[0]).items() if name in names}


def test_a_killed_loky_worker_is_one_clear_line_and_costs_only_unfinished_fits(demo, tmp_path):
    """Both mlp fits are done before; then the workers die in the middle of the cnn1d fits."""
    study = shutil.copytree(demo[0], tmp_path / "study")
    for fit in (study / "results/demo/fits").iterdir():
        if "-mlp-" not in fit.name:
            shutil.rmtree(fit)
    done = run_with_killed_workers(tmp_path / "killed", 2, "--demo", "--models", "mlp", "cnn1d", "--jobs", 2, cwd=study)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "2 finished before, 2 to do" in done.stdout
    assert re.search(r"a worker ended before its task did.*Finished fits are kept", done.stderr)
    assert digits(study) == mlps(demo)


def run_with_killed_workers(killed, number, *arguments, cwd):
    """train.py, whose first `number` fits kill their worker when the network is trained; `killed` is a free path."""
    words = [sys.executable, "-c", KILL_AND_TRAIN, killed, number, *arguments]
    return subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, timeout=HANG_SECONDS,
                          env={**UNNOISY, "PYTHONPATH": str(ROOT)})


KILL_AND_TRAIN = """
import os, signal, sys
import train
from study import tasks

def run_task(task, x, lengths, run_task=tasks.run_task, killed=sys.argv[1], number=int(sys.argv[2])):
    from study import networks
    for victim in range(number):
        try:
            os.mkdir(killed + str(victim))
        except FileExistsError:
            continue
        networks.predict_proba = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        break
    return run_task(task, x, lengths)

tasks.run_task = run_task
train.run_command("train.py", train.main, train.parse(sys.argv[3:]))
"""


def test_workers_that_grow_are_kept():
    """As many processes as workers, though each has 800 MB left behind; loky would end them."""
    pytest.importorskip("psutil")
    with parallel.parallel_backend("loky", jobs=2) as workers:
        pids = joblib.Parallel(workers.jobs, batch_size=1)(joblib.delayed(grow)() for _ in range(8))
    get_reusable_executor().shutdown(wait=True)
    assert len(set(pids)) == 2


def grow(left_behind=[]):                                                                           # noqa: B006
    parallel.disable_worker_recycling()
    if len(left_behind) < 2:
        left_behind.append(np.ones(50_000_000))
    time.sleep(1.1)                                     # loky looks once a second
    return os.getpid()


def mlps(demo):
    """The mlp fits of the uninterrupted run."""
    return {name: fit for name, fit in digits(demo[0]).items() if "-mlp-" in name}


def test_a_cluster_of_one_worker_will_do(with_cache, tmp_path):
    """joblib then runs the tasks in the driver, which has the arrays as well."""
    pytest.importorskip("distributed")
    with dask_cluster(tmp_path, workers=1) as (address, *_):
        done = run("train.py", "--demo", "--models", "svm", "--backend", "dask", "--scheduler", address, cwd=with_cache)
    assert done.returncode == 0, done.stderr
    assert "2 fits, 0 finished before, 2 to do, 1 side by side" in done.stdout


def test_workers_with_more_threads_are_refused(tmp_path):
    pytest.importorskip("distributed")
    with dask_cluster(tmp_path, workers=1, threads=2) as (address, *_):
        with pytest.raises(UserError, match="--nthreads 1"):
            with parallel.parallel_backend("dask", address):
                raise AssertionError("not reached")


@pytest.mark.parametrize("arguments, words", [
    (["--backend", "dask", "--scheduler", "127.0.0.1:9"], "no dask scheduler answers at 127.0.0.1:9"),
    (["--backend", "ray", "--scheduler", "127.0.0.1:9"], "no ray cluster answers at 127.0.0.1:9"),
    (["--backend", "dask"], "--backend dask needs --scheduler HOST:PORT"),
    (["--scheduler", "127.0.0.1:9"], "only for --backend dask or ray"),
    (["--backend", "slurm"], "invalid choice: 'slurm'"),
])
def test_an_unreachable_cluster_is_one_clear_line(tmp_path, trains, monkeypatch, arguments, words):
    monkeypatch.setattr(parallel, "TIMEOUT_SECONDS", 2)
    done = trains([*SHORT, *arguments], tmp_path)
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=re.escape(install_command("dask"))):
        with parallel.parallel_backend("dask", "127.0.0.1:9"):
            raise AssertionError("not reached")
