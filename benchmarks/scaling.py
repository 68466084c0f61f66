"""Time and memory as the corpus grows.

    python benchmarks/scaling.py        writes benchmarks/SCALING.md and scaling.png; two minutes on two cores

A corpus of 1, 4 and 16 times as many clips (stretched copies under new names) is extracted, and a network trained on
it, each in a process of its own. Extraction time and epoch time should grow in proportion; the memory that a process
needs beyond what it maps from disk should not. Clips come from RAVDESS_DIR, else from the synthesised corpus of --demo.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np
import pandas as pd

import config
from ser.settings import read_settings

FACTORS = (1, 4, 16)
N_CLIPS = 96                    # of the smallest corpus
N_AUGMENTED = 1
EPOCHS = 2                      # the second is timed
N_HELD_OUT = 16                 # clips to validate, and as many to test


def scaling_settings(folder):
    """The Settings of this benchmark, with a cache in `folder`."""
    settings = read_settings(config)
    rows = {name: row._replace(epochs=EPOCHS) if row.is_network else row for name, row in settings.MODELS.items()}
    return settings.replace(CACHE_DIR=Path(folder) / "cache", N_AUGMENTED=N_AUGMENTED, MODELS=rows)


# -- corpora ---------------------------------------------------------------------------------------
def enlarged_corpus(folder, factor, settings, n_clips=N_CLIPS):
    """Table of `factor` x `n_clips` clips; what is not there yet is written: copies of the first, stretched."""
    from benchmarks import clips
    originals = clips.spread_clips(folder, n_clips, settings.CLASSES)
    tables = []
    for copy in range(factor):
        table = originals.assign(file=[f"copy{copy:02d}-{file}" for file in originals.file])
        table["path"] = [str(Path(folder) / "clips" / file) for file in table.file]
        for path, original in zip(table.path, originals.path):
            if not Path(path).exists():
                write_copy(Path(path), original, settings, stretched=copy > 0)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def write_copy(path, original, settings, stretched):
    """A clip as a file of another name, at another speed if `stretched`."""
    import soundfile

    import data_preprocessing as data
    from ser import audio, seeds
    y = audio.load_waveform(original, sr=settings.SAMPLE_RATE, trim_db=None, level="recorded")
    if stretched:
        rate = seeds.generator(1, "grow", path.name).uniform(*settings.STRETCH_RATE)
        y = data.stretch_and_shift(y, sr=settings.SAMPLE_RATE, rate=rate, semitones=0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, y, settings.SAMPLE_RATE)


# -- memory ----------------------------------------------------------------------------------------
def own_memory():
    """Memory of this process and its children that is theirs alone, not mapped from files, in GB. Linux only."""
    total, waiting = 0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            waiting += [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                        for child in (task / "children").read_text().split()]
        except OSError:
            continue                                                # ended meanwhile
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
    return total / 1024**2


class PeakMemory:
    """The largest own_memory() while a block runs, in `gigabytes`."""
    def __enter__(self):
        self.gigabytes, self.done = own_memory(), threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.done.wait(0.1):
            self.gigabytes = max(self.gigabytes, own_memory())

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


# -- what is measured ------------------------------------------------------------------------------
def extraction(clips, settings, jobs=-1):
    """Extract all features of a table of clips: dict of seconds, GB of all processes together, and GB written.

    jobs : processes; -1: one per core
    """
    import data_preprocessing as data
    clips = data.survey(clips, settings.CACHE_DIR, jobs)
    params = data.extraction_params(settings, settings.DEFAULT_FEATURES)
    start = time.perf_counter()
    with PeakMemory() as peak:
        extracted = data.build_features(clips, params, settings.CACHE_DIR, jobs)
    seconds = time.perf_counter() - start
    files = [path for folder in extracted.folders.values() for path in Path(folder).iterdir()]
    size = sum(path.stat().st_size for path in files) / 1024**3
    return dict(seconds=seconds, gigabytes=peak.gigabytes, cache_gigabytes=size)


def training(clips, settings, jobs=-1, n_held_out=N_HELD_OUT):
    """Train cnn1d on mel: dict of seconds of the last epoch, and GB of the process. Features come from the cache."""
    import data_preprocessing as data
    import features
    from study import estimators, fitting, networks
    clips = data.survey(clips, settings.CACHE_DIR, jobs)
    params = data.extraction_params(settings, settings.DEFAULT_FEATURES)
    extracted = data.build_features(clips, params, settings.CACHE_DIR, jobs)
    order = np.random.default_rng(0).permutation(len(clips))
    split = dict(zip(("test", "validation", "train"), np.split(order, [n_held_out, 2 * n_held_out])))
    frame_seconds = features.frame_seconds("mel", params.params)
    estimator = networks.NetworkEnsemble(
        len(settings.CLASSES), 1, **estimators.hyperparameters(settings.MODELS["cnn1d"], settings, frame_seconds))
    with PeakMemory() as peak:
        fitting.fit_fold(estimator, extracted.sequences["mel"], extracted.lengths["mel"], clips.label.to_numpy(),
                         [split])
    return dict(seconds=float(estimator.history.seconds.iloc[-1]), gigabytes=peak.gigabytes)


def measure(what, folder, factor):
    """One measurement in this process -> dict."""
    settings = scaling_settings(folder)
    return {"extraction": extraction, "training": training}[what](enlarged_corpus(folder, factor, settings), settings)


def in_own_process(what, folder, factor):
    """`measure` in a process of its own. raises : RuntimeError with what it printed, if it failed"""
    done = subprocess.run([sys.executable, __file__, "--job", what, str(folder), str(factor)], capture_output=True,
                          text=True)
    if done.returncode:
        raise RuntimeError(f"{what} of {factor} x {N_CLIPS} clips: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


# -- the report ------------------------------------------------------------------------------------
def draw(table):
    """Time and memory against the number of clips, both axes logarithmic in time, memory from zero."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 3), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for name, marker in (("extraction", "o"), ("training", "s")):
        time_axes.loglog(table.clips, table[f"{name}_seconds"], marker=marker, label=name)
        memory_axes.semilogx(table.clips, table[f"{name}_gigabytes"], marker=marker, label=name)
    first = table.iloc[0]
    time_axes.loglog(table.clips, first.extraction_seconds * table.clips / first.clips, "k:", label="in proportion")
    time_axes.set(xlabel="clips", ylabel="s: extraction; an epoch", xticks=table.clips, xticklabels=table.clips)
    memory_axes.set(xlabel="clips", ylabel="GB, without mapped files", ylim=(0, None), xticks=table.clips,
                    xticklabels=table.clips)
    for axes in (time_axes, memory_axes):
        axes.minorticks_off()
        axes.legend(frameon=False)
    return figure


def page(table):
    """The text of SCALING.md. table : clips, and what `measure` gives as extraction_seconds, training_seconds ..."""
    from benchmarks.report import markdown_table
    from ser.machine import processor_name
    columns = {"clips": table.clips,
               "extraction, s": table.extraction_seconds.map("{:.1f}".format),
               "a clip, ms": (1e3 * table.extraction_seconds / table.clips).map("{:.0f}".format),
               "memory, GB": table.extraction_gigabytes.map("{:.2f}".format),
               "cache written, GB": table.extraction_cache_gigabytes.map("{:.2f}".format),
               "an epoch, s": table.training_seconds.map("{:.1f}".format),
               "a training clip, ms": (1e3 * table.training_seconds / table.clips).map("{:.1f}".format),
               "training memory, GB": table.training_gigabytes.map("{:.2f}".format)}
    return "\n".join([
        "# Scaling\n", f"Written by `python benchmarks/scaling.py`; do not edit. {time.strftime('%Y-%m-%d')}, "
        f"{processor_name()}, {os.cpu_count()} cores. Every clip has {N_AUGMENTED} augmented copy. Extraction: "
        "all features, one process per core, memory of all of them together. Training: the second epoch of cnn1d on "
        "mel, one process. Memory is what the processes hold beyond mapped files, at its peak.\n",
        markdown_table(list(columns), zip(*columns.values())),
        "\n![Time and memory against the number of clips](scaling.png)\n"])


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description="Time and memory as the corpus grows; writes benchmarks/SCALING.md and scaling.png.")
    parser.add_argument("--job", nargs=3, help=argparse.SUPPRESS)           # of a process of its own
    return parser.parse_args(arguments)


def main(args):
    if args.job:
        what, folder, factor = args.job
        print(json.dumps(measure(what, folder, int(factor))))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in FACTORS:
            row = dict(clips=factor * N_CLIPS)
            enlarged_corpus(folder, factor, scaling_settings(folder))       # here, so that no measured process has to
            for what in ("extraction", "training"):
                print(f"{factor} x {N_CLIPS} clips: {what}", file=sys.stderr, flush=True)
                row |= {f"{what}_{name}": value for name, value in in_own_process(what, folder, factor).items()}
            rows.append(row)
    table = pd.DataFrame(rows)
    draw(table).savefig(HERE / "scaling.png", dpi=150)
    (HERE / "SCALING.md").write_text(page(table))
    print(f"written: {HERE / 'SCALING.md'}")


if __name__ == "__main__":
    main(parse())
