"""How far a fit's answers move with the processor, and what `train.py --reproducible` costs.

    python benchmarks/processors.py         writes benchmarks/PROCESSORS.md; 40 minutes on two cores

The same fits (CNN and BiLSTM, MFCC, fold 0, everything else as in config.py) with the numerical libraries held to
different instruction sets, in a process each, as they would choose on processors that have no more: another order of
the same sums, so other last digits, which training makes much of. Then with `--reproducible` under each of them.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import pandas as pd

from ser.files import write_atomically
from ser.processor import PINNED
from study.runs import fit_name

PROCESSORS = {      # the environment that holds the libraries to what such a processor has
    "AVX-512": {},
    "AVX2": PINNED,
    "SSE 4": {"ONEDNN_MAX_CPU_ISA": "SSE41", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "OPENBLAS_CORETYPE": "Nehalem",
              "NPY_DISABLE_CPU_FEATURES": f"{PINNED['NPY_DISABLE_CPU_FEATURES']} X86_V3 AVX2 FMA3",
              "NUMBA_CPU_NAME": "nehalem"},
}
MODELS = ("cnn1d", "bilstm")
REPRODUCIBLE = "--reproducible"


def fit(name, results, arguments, environment):
    """Train both models -> {model: test predictions}, and the minutes it took."""
    started = time.time()
    command = [sys.executable, HERE.parent / "train.py", "--features", "mfcc", "--models", *MODELS, "--folds", "0",
               "--results-dir", results, "--run", name, *arguments]
    subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    minutes = (time.time() - started) / 60
    return {model: pd.read_csv(results / name / "fits" / fit_name("mfcc", model, 0) / "predictions.csv")
            for model in MODELS}, minutes


def compare(first, second):
    """Two tables of predictions of the same clips -> clips with another answer, largest difference of a probability."""
    columns = [name for name in first if name.startswith("p_")]
    change = (first[columns] - second[columns]).abs().max(axis=None)
    return int((first.predicted != second.predicted).sum()), float(change)


def accuracy(table):
    return 100 * (table.true == table.predicted).mean()


def page(runs, cost):
    """The text of PROCESSORS.md. runs : {name: {model: predictions}}; cost : {name: minutes}"""
    n_clips = len(next(iter(runs.values()))[MODELS[0]])
    command = " ".join(["python benchmarks/processors.py", *sys.argv[1:]])
    lines = ["# Processors", "", f"Written by `{command}`; do not edit. {date.today()}.", "",
             f"Fold 0 of the stratified protocol, seed 42, MFCC; {n_clips} test clips. Compared with the first row, or "
             f"with the first of those with `{REPRODUCIBLE}`.", "",
             "| instruction set | model | accuracy | clips with another answer | largest change of a probability | "
             "minutes, both models |", "|---|---|---|---|---|---|"]
    for name, tables in runs.items():
        reference = next(other for other in runs if (REPRODUCIBLE in other) == (REPRODUCIBLE in name))
        for model, table in tables.items():
            other, change = compare(runs[reference][model], table)
            lines.append(f"| {name} | {model} | {accuracy(table):.1f} | {other} | {change:.2f} | {cost[name]:.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results-dir", type=Path, default=Path("results/processors"), help="finished fits are kept "
                        "there, and not done again")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as train.py takes it")
    args = parser.parse_args(arguments)
    changes = [text for value in args.set for text in ("--set", value)]
    runs, cost = {}, {}
    for name, environment in PROCESSORS.items():
        for title, more in ((name, []), (f"{name}, {REPRODUCIBLE}", [REPRODUCIBLE])):
            folder = title.lower().replace(" ", "-").replace(",", "")
            runs[title], cost[title] = fit(folder, args.results_dir, [*changes, *more], environment)
            print(title, json.dumps({model: round(accuracy(table), 1) for model, table in runs[title].items()}),
                  f"{cost[title]:.1f} min", flush=True)
    with write_atomically(HERE / "PROCESSORS.md") as tmp_path:
        tmp_path.write_text(page(runs, cost))


if __name__ == "__main__":
    main()
