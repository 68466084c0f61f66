"""The command `ser`, and what an installation puts where."""
import re
import subprocess
import sys

import pytest
from commands import HANG_SECONDS, ROOT, UNNOISY

from ser import command


def ser(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", "ser.command", *arguments], cwd=cwd, capture_output=True, text=True,
                          env=UNNOISY | {"PYTHONPATH": str(ROOT)}, timeout=HANG_SECONDS)


@pytest.mark.parametrize("name", command.SCRIPTS)
def test_each_script_has_a_short_name(name, tmp_path):
    done = ser(name, "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {command.SCRIPTS[name]} ")


def test_the_exit_status_is_that_of_the_script(tmp_path):
    done = ser("viz", "--run", "nowhere", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("viz.py: error: no run 'nowhere'")


def test_without_a_command_it_lists_them(tmp_path):
    done = ser(cwd=tmp_path)
    assert done.returncode == 0 and all(script in done.stdout for script in command.SCRIPTS.values())
    wrong = ser("trian", cwd=tmp_path)
    assert wrong.returncode == 2 and "no command 'trian'" in wrong.stderr and "Traceback" not in wrong.stderr


def test_an_installation_without_its_scripts_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "PROJECT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["ser", "train"])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 2 and "pip install -e ." in capsys.readouterr().err


def test_a_wheel_holds_no_module_with_a_common_name():
    tomllib = pytest.importorskip("tomllib")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["packages"] == ["ser"] and "py-modules" not in settings


def test_the_commands_of_the_dockerfile_are_there():
    text = (ROOT / "Dockerfile").read_text()
    named = re.findall(r"\bser (?:ser )?(\w+) --|ser ser (\w+) ", text) + re.findall(r'"ser", "(\w+)"', text)
    names = {name for found in named for name in ([found] if isinstance(found, str) else found) if name}
    assert names == {"app", "predict", "train", "viz"} <= set(command.SCRIPTS)
    extras = re.search(r'-e "\.\[([\w,]+)\]"', text)[1].split(",")
    tomllib = pytest.importorskip("tomllib")
    assert set(extras) <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
