"""What goes wrong elsewhere, done on purpose, often, and counted: a longer series than tests/ has time for.

    python benchmarks/faults.py                 all series, two hours on two cores; each writes its row of FAULTS.md
    python benchmarks/faults.py kills           one of them
    python benchmarks/faults.py kills --n 5     in short: printed alone

kills       train.py --demo is killed (SIGKILL) at a random moment, until it was hit; the same command then finishes it.
            The digits must be those of a run that nobody disturbed; no process may be left after 10 seconds
interrupts  the same with Ctrl-C, sent to the whole group of processes as a terminal does: one line on standard error
workers     train.py --demo on a dask cluster of two workers, one of which is killed while it has fits to do: the same
            digits
scheduler   the same, where it is the scheduler that is killed: one line, exit status 2
races       two processes write one fit over and over while a third reads it: whole, of one of the two
models      a saved model, spoilt at random: an answer or one line, no other error
inputs      a sound file, spoilt at random, or no sound at all: an answer or one line, no other error
settings    random settings within their limits through train.py on a tiny corpus: a result or one line; what still
            trains after two minutes without an error is stopped
"""
import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import config
from benchmarks import spoilt
from benchmarks.cluster import dask_cluster
from ser import demo_corpus
from ser.files import write_atomically
from ser.folders import clear_drafts, find_damage, write_folder
from ser.settings import Each, Interval, OneOf, Real, Whole

NUMBERS = dict(kills=30, interrupts=30, workers=10, scheduler=3, races=100, models=200, inputs=200, settings=200)
DEMO = [sys.executable, str(HERE.parent / "train.py"), "--demo", "--models", "svm", "dtw", "mlp", "--jobs", "2",
        "--set", "N_AUGMENTED=1", "--set", "MODELS.mlp.epochs=2"]
WHERE = {**os.environ, "SER_HOME": "."}     # runs lie where a command is started, not in the project
PAGE = HERE / "FAULTS.md"
FITS_SECONDS = 12               # that the fits of DEMO take on two workers, at least
LEFT_SECONDS = 10               # that a worker may live on after its driver
# Settings of one value that would take hours or are of networks; their limits have tests of their own.
LEFT_ALONE = {"DATA_DIR", "CACHE_DIR", "RESULTS_DIR", "VISUALIZATIONS_DIR", "RUN_NAME", "CLASSES", "DEFAULT_FEATURES",
              "DEFAULT_MODELS", "MODELS", "RECIPES", "RECIPE", "PROTOCOL", "ADAPT", "ENCODER", "ENCODER_BLOCKS",
              "ENCODER_FRAMES_BLOCK", "ALTERATIONS", "N_AUGMENTED", "PRECISION", "SEARCH"}
LONGEST_SECONDS = 120           # of a study of random settings: a hop of one sample makes DTW take hours
MANY = 4                        # copies, at most: a hundred are as good as four, and slow


# -- a study that is disturbed ---------------------------------------------------------------------
def kills(n, rng):
    """SIGKILL of the driver."""
    return disturb(n, rng, lambda process: process.kill(), quiet=False)


def interrupts(n, rng):
    """Ctrl-C in a terminal."""
    return disturb(n, rng, lambda process: os.killpg(process.pid, signal.SIGINT), quiet=True)


def disturb(n, rng, how, quiet):
    """Stop `train.py --demo` at random moments, n times -> row of figures."""
    row = dict(hit=0, other_digits=0, left_processes=0) | (dict(more_than_a_line=0, tracebacks=0) if quiet else {})
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        subprocess.run(DEMO, cwd=folder, env=WHERE, capture_output=True, check=True)
        whole, seconds = digits(Path(folder)), time.time() - began - 3         # 3: for the clips of the corpus
        while row["hit"] < n:
            shutil.rmtree(Path(folder) / "results")
            for cached in Path(folder).glob("cache/[fs]*-*"):
                shutil.rmtree(cached)
            with open(Path(folder) / "printed", "w") as file:       # a pipe would be held open by its workers
                process = subprocess.Popen(DEMO, cwd=folder, env=WHERE, stdout=subprocess.DEVNULL, stderr=file,
                                           start_new_session=True)
            time.sleep(rng.uniform(0.3, seconds))
            if process.poll() is not None:
                continue
            how(process)
            process.wait()
            row["hit"] += 1
            row["left_processes"] += count_left(process.pid)
            if quiet:
                printed = [line for line in (Path(folder) / "printed").read_text().split("\n")
                           if line.strip() and "%|" not in line]
                row["more_than_a_line"] += len(printed) > 1
                row["tracebacks"] += any("Traceback" in line for line in printed)
            subprocess.run(DEMO, cwd=folder, env=WHERE, capture_output=True, check=True)
            row["other_digits"] += digits(Path(folder)) != whole
    return row


def workers(n, rng):
    """A worker of a cluster of two is killed while fits are under way, n times -> row of figures."""
    row = dict(hit=0, other_digits=0, errors=0)
    for done, found, whole in on_cluster(n, rng, victim=1):
        row["hit"] += 1
        row["errors"] += done != 0
        row["other_digits"] += found != whole
    return row


def scheduler(n, rng):
    """The scheduler is killed while fits are under way."""
    row = dict(hit=0, more_than_a_line=0, other_status=0)
    for done, printed, _ in on_cluster(n, rng, victim=0):
        row["hit"] += 1
        row["other_status"] += done != 2
        row["more_than_a_line"] += len(printed) != 1
    return row


def on_cluster(n, rng, victim):
    """Kill a process of a dask cluster in the middle of `train.py --demo`: 0 the scheduler, 1 a worker. Yields the exit
    status, its digits (of 0: the lines on standard error), and the digits of a run that nobody disturbed."""
    words = [*DEMO, "--backend", "dask", "--scheduler"]
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "study"
        folder.mkdir()
        subprocess.run(DEMO, cwd=folder, env=WHERE, capture_output=True, check=True)    # fills the cache
        whole, hit = digits(folder), 0
        while hit < n:
            shutil.rmtree(folder / "results")
            with dask_cluster(parent) as (address, *processes), open(f"{parent}/printed", "w") as file:
                process = subprocess.Popen([*words, address], cwd=folder, env=WHERE, text=True,
                                           stdout=subprocess.PIPE, stderr=file)
                for line in process.stdout:
                    if "side by side" in line:
                        break
                time.sleep(rng.uniform(0, FITS_SECONDS))
                (processes[0] if victim == 0 else rng.choice(processes[1])).kill()
                if process.poll() is None:
                    hit += 1
                    process.communicate()
                    lines = [line for line in Path(f"{parent}/printed").read_text().splitlines() if "%|" not in line]
                    yield process.returncode, digits(folder) if victim else lines, whole


def digits(folder):
    """All that a run reports but its times."""
    found = {}
    for fit in sorted((folder / "results/demo/fits").iterdir()):
        metrics = json.loads((fit / "metrics.json").read_text())
        metrics.pop("fit_seconds")
        found[fit.name] = (metrics, (fit / "predictions.csv").read_text())
    return found


def count_left(group):
    """Processes of a group that are still there after LEFT_SECONDS."""
    until = time.time() + LEFT_SECONDS
    while time.time() < until:
        left = [stat for stat in Path("/proc").glob("[0-9]*/stat") if in_group(stat, group)]
        if not left:
            return 0
        time.sleep(0.2)
    return len(left)


def in_group(stat, group):
    with contextlib.suppress(OSError):
        state, _, own_group, *_ = stat.read_text().rsplit(")", 1)[1].split()
        return int(own_group) == group and state != "Z"
    return False


# -- races -----------------------------------------------------------------------------------------
def races(n, rng):
    """Two writers and a reader of one fit; killed in the middle every other time."""
    row, start = dict(races=0, half=0, absent_at_the_end=0), multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "mfcc-mlp-fold0"
        for _ in range(n):
            writers = [start.Process(target=write_often, args=(folder, text)) for text in ("one", "two")]
            for writer in writers:
                writer.start()
            until = time.time() + rng.uniform(0.5, 1.0)
            while time.time() < until:
                row["half"] += look(folder) == "half"
            for writer in writers:
                writer.kill()
                writer.join()
            clear_drafts(Path(parent))
            row["absent_at_the_end"] += look(folder) == "absent"
            row["half"] += find_damage(folder) is not None
            row["races"] += 1
    return row


def write_often(folder, text):
    while True:
        write_folder(folder, {"metrics.json": text, "table.csv": text * 10_000})


def look(folder):
    """What is in a folder's place: "whole", "half" or "absent". Its files are read through one handle on it, as by name
    one could be of the older folder and the next of the newer one."""
    while True:
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return "absent"
        try:
            text, table, manifest = (read_in(handle, name) for name in ("metrics.json", "table.csv", "manifest.json"))
            if None not in (text, table, manifest) and table == text * 10_000 and len(json.loads(manifest)) == 2:
                return "whole"
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(folder), os.fstat(handle)):
                    return "half"                   # else it was replaced meanwhile, and is being removed: look again
        finally:
            os.close(handle)


def read_in(handle, name):
    """The text of a file in an open folder; None where it is not there."""
    with contextlib.suppress(FileNotFoundError):
        with open(name, opener=lambda path, flags: os.open(path, flags, dir_fd=handle)) as file:
            return file.read()
    return None


# -- settings --------------------------------------------------------------------------------------
def settings(n, rng):
    """Five random settings at once, each anywhere within its limits or at an end of them."""
    row = dict(settings=0, trained=0, one_line=0, stopped_while_training=0, other_errors=0)
    with tempfile.TemporaryDirectory() as folder:
        demo_corpus.write_corpus(Path(folder) / "clips", actors=4, intensities=(1,))
        known = {name: limit for name, limit in config.__annotations__.items() if name not in LEFT_ALONE}
        for _ in range(n):
            drawn = {name: draw(known[name], rng) for name in rng.sample(sorted(known), 5)}
            words = [word for name, value in drawn.items() for word in ("--set", f"{name}={value!r}")]
            process = subprocess.Popen(
                [sys.executable, str(HERE.parent / "train.py"), "--data-dir", "clips", "--features", "mfcc", "gauss",
                 "--models", "svm", "dtw", "linear", "--protocol", "stratified", "--run", "x", "--jobs", "2", "--set",
                 f"N_AUGMENTED={rng.randint(0, MANY)}", "--set", "DEFAULT_FEATURES=('mfcc',)", *words],
                cwd=folder, env=WHERE, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True)
            try:
                lines, status = process.communicate(timeout=LONGEST_SECONDS)[1].strip().splitlines(), process.returncode
            except subprocess.TimeoutExpired:
                process.kill()                      # its workers end with it
                lines, status = process.communicate()[1].strip().splitlines(), "stopped"
            outcome = "trained" if status == 0 else "one_line" if status == 2 and len(lines) == 1 else \
                "stopped_while_training" if status == "stopped" and not lines else "other_errors"
            row["settings"] += 1
            row[outcome] += 1
            if row["settings"] % 20 == 0:
                print(f"so far: {row}", file=sys.stderr, flush=True)
            if outcome == "other_errors":
                print(drawn, status, "\n".join(lines[-5:]), file=sys.stderr)
            shutil.rmtree(Path(folder) / "results", ignore_errors=True)
            shutil.rmtree(Path(folder) / "cache", ignore_errors=True)
    return row


def draw(limit, rng):
    """A value within a limit of config.py."""
    if isinstance(limit, Whole | Real):
        low, high = (1 if isinstance(end, str) else end for end in (limit.low, limit.high))
        if isinstance(limit.high, str):
            high = 8
        value = rng.choice([low, high, rng.uniform(low, high), low * (high / low) ** rng.random() if low > 0 else low])
        value = int(value) if isinstance(limit, Whole) else value
        return None if limit.optional and rng.random() < 0.1 else value
    if isinstance(limit, Interval):
        return tuple(sorted(rng.choice([limit.low, limit.high, rng.uniform(limit.low, limit.high)]) for _ in range(2)))
    if isinstance(limit, OneOf):
        return rng.choice(limit.values)
    assert isinstance(limit, Each)
    return ()


SERIES = dict(kills=kills, interrupts=interrupts, workers=workers, scheduler=scheduler, races=races,
              models=spoilt.models, inputs=spoilt.inputs, settings=settings)


# -- page ------------------------------------------------------------------------------------------
def with_row(text, name, row, date):
    """The text of FAULTS.md with the row of a series as it was counted now."""
    about = {line.split()[0]: " ".join(line.split()[1:]) for line in joined(__doc__.split("\n\n")[2])}[name]
    counted = ", ".join(f"{key} {value}".replace("_", " ") for key, value in row.items())
    lines = text.splitlines()
    (number,) = [k for k, line in enumerate(lines) if line.startswith(f"| {name} |")]
    lines[number] = f"| {name} | {about} | {counted} | {date} |"
    return "\n".join(lines) + "\n"


def joined(text):
    """Lines of a table in a docstring; indented ones belong to the line before."""
    lines = []
    for line in text.splitlines():
        if line.startswith(" "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", nargs="*", help=f"some of {', '.join(NUMBERS)} (default: all)")
    parser.add_argument("--n", type=int, help="how often (default: 3 to 200, and the row of benchmarks/FAULTS.md is "
                        "written)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    args = parser.parse_args()
    unknown = set(args.series) - set(NUMBERS)
    if unknown:
        parser.error(f"no series {min(unknown)}: {', '.join(NUMBERS)}")
    for name in args.series or NUMBERS:
        row = SERIES[name](args.n or NUMBERS[name], random.Random(f"{args.seed} {name}"))
        print(name, row, flush=True)
        if not args.n:
            with write_atomically(PAGE) as tmp_path:
                tmp_path.write_text(with_row(PAGE.read_text(), name, row, time.strftime("%Y-%m-%d")))


if __name__ == "__main__":
    main()
