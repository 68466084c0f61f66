"""Where the work runs: processes of this machine (loky), a dask cluster, or ray. joblib does the rest.

    with engines.engine("dask", "host:8786") as workers:      every joblib.Parallel in the block runs there

A worker needs the packages of requirements.txt, one thread of its own, and neither this machine's disk nor the
data set: it is sent the project's modules, and each task brings its sound or its features. Results come back to the
process that asked, which alone writes.
"""
import contextlib
import functools
import math
import socket
from pathlib import Path

import joblib

NAMES = ("loky", "dask", "ray")
HERE = Path(__file__).parent
PATIENCE_SECONDS = 10           # for a scheduler to answer
GO_ON = "Finished fits are kept; the same command goes on from there"


class EngineError(ValueError):
    """The engine cannot be reached, or broke; the message is one line for the user."""


@contextlib.contextmanager
def engine(name, scheduler=None, jobs=None):
    """Let joblib run its tasks on engine `name`, within the block.

    scheduler : address "HOST:PORT" of a dask scheduler or a ray head; None starts ray on this machine
    jobs      : tasks side by side, at most; None: as many as the engine has workers
    gives     : how many tasks will run side by side
    raises    : EngineError
    """
    with {"loky": loky, "dask": dask, "ray": ray}[name](scheduler) as (backend, failures):
        with joblib.parallel_config(backend=backend):
            workers = joblib.effective_n_jobs(-1)
            try:
                yield min(jobs or workers, workers) if name != "loky" else jobs or workers
            except failures as problem:
                raise EngineError(f"{name}: a worker ended before its task did, killed or out of memory "
                                  f"({type(problem).__name__}). {GO_ON}; fewer --jobs need less memory") from problem


@contextlib.contextmanager
def loky(scheduler):
    """Processes of this machine."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    yield "loky", (TerminatedWorkerError,)


def stay():
    """Called in a worker: it is not to be replaced for having grown.

    Where psutil is installed, loky ends a worker that has grown by 300 MB since its first task. TensorFlow does, once,
    and a new worker would load it and trace every network again.
    """
    from joblib.externals.loky import process_executor
    process_executor._MAX_MEMORY_LEAK_SIZE = math.inf


@contextlib.contextmanager
def dask(scheduler):
    """Workers of a running dask cluster. A task whose worker dies is given to another one."""
    distributed = optional("distributed", "requirements-dask.txt")
    start = f"start it with `dask scheduler`, and workers with `dask worker {scheduler} --nworkers 2 --nthreads 1`"
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE_SECONDS)
    except (OSError, TimeoutError, ValueError) as problem:
        raise EngineError(f"no dask scheduler answers at {scheduler}; {start}") from problem
    with client:
        threads = client.nthreads()                                                 # {worker: threads}
        if not threads:
            raise EngineError(f"the dask scheduler at {scheduler} has no workers; {start}")
        if set(threads.values()) != {1}:        # TensorFlow's seed and thread count belong to a process
            raise EngineError(f"the dask workers at {scheduler} have {max(threads.values())} threads each, and a fit "
                              "needs a process of its own: start them with --nthreads 1")
        # Data that tasks share goes to every worker: with one copy, a dying worker could take it along.
        client.scatter = functools.partial(client.scatter, broadcast=True)
        for module in sorted(HERE.glob("*.py")):
            client.upload_file(str(module), load=False)
        yield "dask", (distributed.scheduler.KilledWorker, distributed.client.FutureCancelledError)


@contextlib.contextmanager
def ray(scheduler):
    """Ray's workers, on a running cluster or started here."""
    ray_package = optional("ray", "requirements-ray.txt")
    from ray.util.joblib import ray_backend

    class Backend(ray_backend.RayBackend):
        supports_return_generator = True    # switched off for multiprocessing's pool; ray's delivers results as well

    outside = [f"/{path.name}" for path in HERE.iterdir() if path.suffix != ".py"]
    try:
        if scheduler:                       # asked first: ray itself tries for ten minutes
            host, port = scheduler.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS).close()
        ray_package.init(scheduler, logging_level="ERROR", log_to_driver=False, include_dashboard=False if
                         scheduler is None else None, runtime_env=dict(working_dir=str(HERE), excludes=outside))
    except (OSError, ValueError, RuntimeError) as problem:
        raise EngineError(f"no ray cluster answers at {scheduler}; start it with `ray start --head`, or leave "
                          "--scheduler out and ray runs on this machine") from problem
    joblib.register_parallel_backend("ray", Backend)
    try:
        yield "ray", (ray_package.exceptions.RayError,)
    finally:
        ray_package.shutdown()


def optional(package, requirements):
    """A package that only some engines need."""
    try:
        return __import__(package)
    except ImportError as problem:
        raise EngineError(f"{package} is not installed: pip install -r {requirements}") from problem
