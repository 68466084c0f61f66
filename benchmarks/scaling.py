"""What happens as the corpus grows: `python benchmarks/growth.py` writes benchmarks/GROWTH.md and growth.png.

A corpus of 1, 4 and 16 times as many clips (augmented copies under new names) is extracted, and a network trained
on it for one epoch, each in a process of its own. Extraction time and epoch time should grow in proportion; the memory
that a process needs beyond what it maps from disk should not. Takes about two minutes on two cores.

Clips come from RAVDESS_DIR, else from the synthesised corpus of --demo.
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
from types import SimpleNamespace

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np
import pandas as pd

import config

TIMES = (1, 4, 16)
CLIPS = 96                      # of the smallest corpus
N_AUGMENTED = 1


def settings_for(folder):
    settings = SimpleNamespace(**{name: value for name, value in vars(config).items() if name.isupper()})
    settings.CACHE_DIR, settings.N_AUGMENTED, settings.EPOCHS = Path(folder) / "cache", N_AUGMENTED, dict(cnn1d=2)
    return settings


def grown_corpus(folder, times):
    """Table of `times` x CLIPS clips; what is not there yet is written: copies of the first CLIPS, stretched."""
    import soundfile

    import data_preprocessing as data
    from ser import corpora, demo_corpus, seeds
    source = Path(folder) / "source"
    if os.environ.get("RAVDESS_DIR"):
        source = corpora.data_dir()
    else:
        demo_corpus.write_corpus(source)
    clips = corpora.find_corpus(source).clips
    clips = clips.iloc[np.linspace(0, len(clips) - 1, CLIPS).astype(int)].reset_index(drop=True)
    tables = []
    for copy in range(times):
        table = clips.assign(file=[f"copy{copy:02d}-{file}" for file in clips.file])
        table["path"] = [str(Path(folder) / "clips" / file) for file in table.file]
        for path, file, origin in zip(table.path, table.file, clips.path):
            if not Path(path).exists():
                Path(path).parent.mkdir(exist_ok=True)
                y = data.load_waveform(origin, sr=config.SAMPLE_RATE, trim_db=None, peak_normalise=False)
                if copy:
                    rate = seeds.generator(1, "grow", file).uniform(*config.STRETCH_RATE)
                    y = data.stretch_and_shift(y, sr=config.SAMPLE_RATE, rate=rate, semitones=0.0)
                soundfile.write(path, y, config.SAMPLE_RATE)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


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


class Peak:
    """Watches own_memory() while a block runs."""
    def __enter__(self):
        self.gigabytes, self.done = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.done.wait(0.1):
            self.gigabytes = max(self.gigabytes, own_memory())

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def extraction(folder, times):
    """Seconds and GB of the extraction, all processes together, and the size of what it wrote."""
    import data_preprocessing as data
    settings = settings_for(folder)
    clips = data.survey(grown_corpus(folder, times), settings.CACHE_DIR)
    began = time.perf_counter()
    with Peak() as peak:
        corpus = data.build_features(clips, settings)
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in Path(corpus.folder).iterdir()) / 1024**3
    return dict(seconds=seconds, gigabytes=peak.gigabytes, cache_gigabytes=size)


def training(folder, times):
    """Seconds of the second epoch of cnn1d on mel, and GB of the process."""
    import data_preprocessing as data
    from study import networks
    settings = settings_for(folder)
    clips = data.survey(grown_corpus(folder, times), settings.CACHE_DIR)
    corpus = data.build_features(clips, settings)
    order = np.random.default_rng(0).permutation(len(clips))
    parts = dict(test=order[:16], validation=order[16:32], train=order[32:])
    with Peak() as peak:
        outcome = networks.fit("cnn1d", corpus.sequences["mel"], corpus.lengths, clips.label.to_numpy(), [parts], 1,
                          settings)
    return dict(seconds=outcome["history"]["seconds"][1], gigabytes=peak.gigabytes)


def in_a_process(what, folder, times):
    done = subprocess.run([sys.executable, __file__, "--one", what, str(folder), str(times)],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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


def markdown(table):
    """A data frame of text as a Markdown table."""
    rows = [table.columns, ["---"] * len(table.columns), *table.to_numpy()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def main():
    parser = argparse.ArgumentParser(description="Time and memory as the corpus grows; writes benchmarks/GROWTH.md.")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        what, folder, times = args.one
        print(json.dumps({"extraction": extraction, "training": training}[what](folder, int(times))))
        return

    import train
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for times in TIMES:
            row = dict(clips=times * CLIPS)
            grown_corpus(folder, times)
            for what in ("extraction", "training"):
                print(f"{times} x {CLIPS} clips: {what}", file=sys.stderr, flush=True)
                row |= {f"{what}_{name}": value for name, value in in_a_process(what, folder, times).items()}
            rows.append(row)
    table = pd.DataFrame(rows)
    draw(table).savefig(HERE / "growth.png", dpi=150)
    cells = pd.DataFrame({
        "clips": table.clips,
        "extraction, s": table.extraction_seconds.map("{:.1f}".format),
        "a clip, ms": (1e3 * table.extraction_seconds / table.clips).map("{:.0f}".format),
        "memory, GB": table.extraction_gigabytes.map("{:.2f}".format),
        "cache written, GB": table.extraction_cache_gigabytes.map("{:.2f}".format),
        "an epoch, s": table.training_seconds.map("{:.1f}".format),
        "a training clip, ms": (1e3 * table.training_seconds / table.clips).map("{:.1f}".format),
        "training memory, GB": table.training_gigabytes.map("{:.2f}".format)})
    (HERE / "GROWTH.md").write_text("\n".join([
        "# Growth\n", f"Written by `python benchmarks/growth.py`; do not edit. {time.strftime('%Y-%m-%d')}, "
        f"{train.processor()}, {os.cpu_count()} cores. Every clip has {N_AUGMENTED} copy. Extraction: all features, one "
        "process per core, memory of all of them together. Training: the second epoch of cnn1d on mel, one process. "
        "Memory is what the processes hold beyond mapped files, at its peak.\n",
        markdown(cells), "\n![Time and memory against the number of clips](growth.png)\n"]))
    print(f"written: {HERE / 'GROWTH.md'}")


if __name__ == "__main__":
    main()
