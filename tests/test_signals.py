"""Ctrl-C, at the moment when it is least expected."""
import signal
import subprocess
import sys

import pytest
from commands import ROOT, UNNOISY

# Runs a script as the command line does, and interrupts it when it imports pandas.
STOPPED = """
import runpy, sys
class Stop:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("script, arguments", [
    ("train.py", ["--demo"]), ("viz.py", []), ("predict.py", ["clip.wav"]), ("app.py", [])])
def test_an_interrupt_among_the_imports_is_one_line(tmp_path, script, arguments):
    done = subprocess.run([sys.executable, "-c", STOPPED, ROOT / script, *arguments], cwd=tmp_path, text=True,
                          capture_output=True, timeout=120, env=UNNOISY | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGINT and done.stderr.strip() == "stopped"
    assert not list(tmp_path.iterdir())


def test_other_errors_say_where(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import interrupts; signals.are_one_line(); 1 / 0"], cwd=ROOT,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr
