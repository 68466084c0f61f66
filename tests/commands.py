"""The real commands, run as a user runs them, and what a run reports."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
SHORT = ["--demo", "--models", "mlp"]               # two fits
HANG_SECONDS = 1800         # a command that takes so long hangs; however slow the machine is, none comes near
# Runs and caches lie where a command is started, not in the project's folder; without the real data.
UNNOISY = {name: value for name, value in os.environ.items() if name != "RAVDESS_DIR"} | {"SER_HOME": "."}


def command(script, *arguments, cwd):
    return [sys.executable, str(ROOT / script), *map(str, arguments)], dict(cwd=cwd, env=UNNOISY, text=True)


def run(script, *arguments, cwd, timeout=HANG_SECONDS):
    words, how = command(script, *arguments, cwd=cwd)
    return subprocess.run(words, capture_output=True, timeout=timeout, **how)


def digits(folder):
    """Everything a run reports but its times: {fit: (predictions, scores)}."""
    found = {}
    for fit in sorted((folder / "results/demo/fits").iterdir()):
        metrics = json.loads((fit / "metrics.json").read_text())
        metrics.pop("fit_seconds")
        path = fit / "history.csv"
        history = pd.read_csv(path).drop(columns="seconds").to_csv() if path.exists() else None     # None: an SVM
        found[fit.name] = ((fit / "predictions.csv").read_text(), history, metrics)
    return found


def copy_project(folder):
    """The project's code in another folder, to be changed there."""
    for path in [*ROOT.glob("*.py"), *ROOT.glob("ser/*.py"), *ROOT.glob("study/*.py")]:
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return folder
