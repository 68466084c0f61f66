"""Where the work runs: processes of this machine (loky), a dask cluster, or ray. joblib does the rest.

    with parallel_backend("dask", "host:8786") as workers:     every joblib.Parallel in the block runs there

A worker needs the packages of requirements.txt, one thread of its own, and neither this machine's disk nor the
data set: it is sent the project's modules, and each task brings its sound or its features. Results come back to the
process that asked, which alone writes.
"""
import contextlib
import logging
import math
import os
import socket
import uuid
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ser.errors import UserError
from ser.settings import PROJECT, install_command
from ser.signals import begin_worker, interrupts_kept_from_children

BACKENDS = ("loky", "dask", "ray")
TIMEOUT_SECONDS = 10            # for a scheduler to answer
SHARED = {}                     # arrays of this process that dask workers hold: {name of the plugin: array}
GO_ON = "Finished fits are kept; the same command goes on from there"


class Workers(NamedTuple):
    """What a block of `parallel_backend` may use."""
    jobs: int                   # tasks that run side by side
    share: object               # {name: array} -> {name: what a task is given in its place}; see `fetch`
    delayed: object             # joblib.delayed, or what does the same for this backend


@contextlib.contextmanager
def parallel_backend(name, scheduler=None, jobs=None):
    """Let joblib run its tasks on the backend `name`, within the block.

    scheduler : address "HOST:PORT" of a dask scheduler or a ray head; None starts ray on this machine
    jobs      : tasks side by side, at most; None: as many as the backend has workers
    gives     : Workers
    raises    : UserError
    """
    import joblib
    with {"loky": loky, "dask": dask, "ray": ray}[name](scheduler) as (backend, failures, share, delayed):
        begin = dict(initializer=begin_worker, initargs=(os.getpid(),)) if name == "loky" else {}
        with joblib.parallel_config(backend=backend, **begin):
            workers = joblib.effective_n_jobs(-1)
            try:
                yield Workers(min(jobs or workers, workers) if name != "loky" else jobs or workers, share, delayed)
            except failures as problem:
                raise UserError(f"{name}: a worker ended before its task did, killed or out of memory "
                                  f"({type(problem).__name__}). {GO_ON}; fewer --jobs need less memory") from problem


def run(tasks, jobs, **options):
    """Results of delayed tasks, as they come: a generator, of joblib.Parallel with these options. Ctrl-C reaches this
    process alone."""
    import joblib
    with interrupts_kept_from_children():       # workers are started by the call, before the first result is waited for
        results = joblib.Parallel(jobs, return_as="generator_unordered", **options)(tasks)
    yield from results


def fetch(given):
    """In a task: the array that `Workers.share` gave a stand-in for."""
    return given.load() if isinstance(given, OnWorker) else given


@dataclass(frozen=True)
class OnWorker:
    """Stands for an array that every dask worker holds."""
    plugin: str

    def load(self):
        if self.plugin in SHARED:               # joblib runs the tasks of a cluster of one worker in the driver
            return SHARED[self.plugin]
        import distributed
        return distributed.get_worker().plugins[self.plugin].content


@contextlib.contextmanager
def loky(scheduler):
    """Processes of this machine."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    yield "loky", (TerminatedWorkerError,), dict, joblib.delayed        # every process maps the arrays


def disable_worker_recycling():
    """Called in a worker of loky: it is not replaced for having grown.

    Where psutil is installed, loky ends a worker that has grown by 300 MB since its first task. TensorFlow does, once,
    and a new worker would load it and trace every network again.
    """
    from joblib.externals.loky import process_executor
    process_executor._MAX_MEMORY_LEAK_SIZE = math.inf


@contextlib.contextmanager
def dask(scheduler):
    """Workers of a running dask cluster. A task whose worker dies is given to another one.

    Code and arrays are plugins: the scheduler keeps them and gives them to every worker, also to one that starts later.
    Scattered data would not do: dask drops copies that it takes for superfluous, and the last one dies with its worker.
    Tasks travel as bytes, so the scheduler, which looks into what it is given, needs none of our packages.
    """
    distributed = import_optional("distributed", "dask")
    import joblib
    from distributed.protocol import serialize_bytes  # as dask sends everything between its own processes
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)      # what it would say, the UserError says
    start = f"start it with `dask scheduler`, and workers with `dask worker {scheduler} --nworkers 2 --nthreads 1`"

    class Array(distributed.WorkerPlugin):          # local classes travel by value: workers need no module for them
        def __init__(self, content):
            self.content = content

    class Code(distributed.WorkerPlugin):
        def __init__(self, files):
            self.files = files                      # {path below the project: text}

        def setup(self, worker):
            import importlib
            import sys
            from pathlib import Path
            home = Path(worker.local_directory)     # it is on the worker's sys.path
            for file, text in self.files.items():
                (home / file).parent.mkdir(parents=True, exist_ok=True)
                (home / file).write_text(text, encoding="utf-8")
            importlib.invalidate_caches()
            for name, module in list(sys.modules.items()):      # of another version of this code
                if Path(getattr(module, "__file__", None) or "/").is_relative_to(home):
                    del sys.modules[name]

    try:
        client = distributed.Client(scheduler, timeout=TIMEOUT_SECONDS)
    except (OSError, TimeoutError, ValueError) as problem:
        raise UserError(f"no dask scheduler answers at {scheduler}; {start}") from problem
    with client:
        threads = client.nthreads()                                                 # {worker: threads}
        if not threads:
            raise UserError(f"the dask scheduler at {scheduler} has no workers; {start}")
        if set(threads.values()) != {1}:        # TensorFlow's seed and thread count belong to a process
            raise UserError(f"the dask workers at {scheduler} have {max(threads.values())} threads each, and a fit "
                              "needs a process of its own: start them with --nthreads 1")
        plugins = []

        def register(name, plugin):
            client.register_plugin(plugin, name=name)
            plugins.append(name)
            return name

        def share(arrays):
            given = {}
            for name, array in arrays.items():
                plugin = register(f"array {uuid.uuid4()}", Array(np.array(array)))
                SHARED[plugin], given[name] = array, OnWorker(plugin)
            return given

        def delayed(function):
            return lambda *args: joblib.delayed(call)(serialize_bytes((function, args)))

        def call(content):                          # travels by value, too
            from distributed.protocol import deserialize_bytes
            function, args = deserialize_bytes(content)
            return function(*args)

        register("code", Code({str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8")
                               for folder in (".", "ser", "study") for path in PROJECT.joinpath(folder).glob("*.py")}))
        try:
            yield "dask", (distributed.scheduler.KilledWorker,), share, delayed
        except distributed.client.FutureCancelledError as problem:
            raise UserError(f"dask: the scheduler at {scheduler} does not answer any more. {GO_ON}") from problem
        finally:
            SHARED.clear()
            if client.status == "running":
                for name in plugins:
                    client.unregister_worker_plugin(name)


@contextlib.contextmanager
def ray(scheduler):
    """Ray's workers, on a running cluster or started here."""
    import joblib
    ray_package = import_optional("ray", "ray")
    from ray.util.joblib import ray_backend

    class Backend(ray_backend.RayBackend):
        supports_return_generator = True    # switched off for multiprocessing's pool; ray's delivers results as well

    outside = [f"/{path.name}" for path in PROJECT.iterdir()
               if path.suffix != ".py" and path.name not in ("ser", "study")]
    try:
        if scheduler:                       # asked first: ray itself tries for ten minutes
            host, port = scheduler.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS).close()
        ray_package.init(scheduler, logging_level="ERROR", log_to_driver=False, include_dashboard=False if
                         scheduler is None else None, runtime_env=dict(working_dir=str(PROJECT), excludes=outside))
    except (OSError, ValueError, RuntimeError) as problem:
        raise UserError(f"no ray cluster answers at {scheduler}; start it with `ray start --head`, or leave "
                          "--scheduler out and ray runs on this machine") from problem
    joblib.register_parallel_backend("ray", Backend)
    try:
        yield "ray", (ray_package.exceptions.RayError,), dict, joblib.delayed
    finally:
        ray_package.shutdown()


def import_optional(package, extra):
    """A package that only some backends need. raises : UserError"""
    try:
        return __import__(package)
    except ImportError as problem:
        raise UserError(f"{package} is not installed: {install_command(extra)}") from problem


def shutdown_workers():
    """End the worker processes of this machine, whatever they are doing."""
    from joblib.externals.loky import get_reusable_executor
    get_reusable_executor().shutdown(wait=True, kill_workers=True)
