"""The command `ser` of an installed project (`pip install -e .`): the scripts by their short names, from any folder.

    ser train --demo        as python train.py --demo
"""
import os
import subprocess
import sys

from ser.settings import PROJECT

SCRIPTS = {"data": "data_preprocessing.py", "train": "train.py", "viz": "viz.py", "predict": "predict.py",
           "app": "app.py"}
USAGE = f"usage: ser {{{','.join(SCRIPTS)}}} ...        ser NAME --help says more"


def main():
    """Run the script that is named first with the arguments that follow; in this process's place, where that can be.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        return print("\n".join([USAGE, *(f"  {name:8} python {script}" for name, script in SCRIPTS.items())]))
    if name not in SCRIPTS:
        sys.exit(complain(f"no command '{name}'\n{USAGE}"))
    script = PROJECT / SCRIPTS[name]
    if not script.exists():
        sys.exit(complain(f"{script} is not there: the scripts are used where they can be read and edited; in the "
                          "project's folder: pip install -e ."))
    words = [sys.executable, str(script), *arguments]
    if os.name == "posix":
        os.execv(sys.executable, words)                 # Ctrl-C and the exit status are the script's own
    sys.exit(subprocess.call(words))


def complain(text):
    """Print an error; gives the exit status."""
    print(f"ser: error: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
