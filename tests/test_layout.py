"""The layout of the project: what lies where, and which module may import which."""
import ast
import functools
import graphlib
import subprocess
import sys

import pytest
from commands import HANG_SECONDS, ROOT

TOP_LEVEL = {"config", "data_preprocessing", "features", "model", "train", "viz", "predict", "app"}
SCRIPTS = {"data_preprocessing", "train", "viz", "predict", "app"}      # they read config.py and have a command line
MAX_LINES = 350
SLOW = ("tensorflow", "keras", "pandas")                # seconds to import: not before the arguments are parsed
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
         for folder in (".", "ser", "study", "benchmarks") for path in sorted((ROOT / folder).glob("*.py"))}


def modules_in(folder):
    return sorted(name for name in FILES if name.startswith(f"{folder}."))


@functools.cache
def imports(name):
    """Full names of the modules that one imports, within functions as well: this project's and others'."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()      # modules
            found |= inner or {node.module}
    return found


def packages(name):
    """First parts of the names of what a module imports."""
    return {imported.split(".")[0] for imported in imports(name)}


def reachable(name):
    """The project's modules that a module imports, and those that they import in turn."""
    found, waiting = set(), [name]
    while waiting:
        new = (imports(waiting.pop()) & FILES.keys()) - found
        found |= new
        waiting += new
    return found


def test_the_top_level_is_what_a_user_runs_edits_or_reads_first():
    assert {path.stem for path in ROOT.glob("*.py")} == TOP_LEVEL


@pytest.mark.parametrize("name", modules_in("ser"))
def test_ser_knows_no_settings_no_networks_and_no_study(name):
    assert not packages(name) & (TOP_LEVEL | {"study", "benchmarks", "tensorflow", "keras"})


@pytest.mark.parametrize("name", modules_in("study"))
def test_study_is_given_its_settings_and_imports_no_script(name):
    assert not packages(name) & {"config", "train", "viz", "predict", "app", "benchmarks"}


@pytest.mark.parametrize("name", ["config", "features", "model"])
def test_what_others_build_on_imports_no_script(name):
    assert not packages(name) & (SCRIPTS | {"study", "benchmarks"})
    assert name == "config" or "config" not in imports(name)


def test_no_imports_in_a_circle():
    graph = {name: imports(name) & FILES.keys() for name in FILES}
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_file_is_too_long_to_read_at_once():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_figures_are_drawn_from_files_alone():
    """viz.py prepares no clips, extracts no features and loads no model, nor does what it imports."""
    behind = {"viz"} | reachable("viz")
    assert not behind & {"predict", "train", "data_preprocessing", "features", "model", "study.inference"}
    assert not {package for name in behind for package in packages(name)} & {"tensorflow", "keras"}


# -- what is loaded --------------------------------------------------------------------------------
def test_ser_loads_neither_tensorflow_nor_numba():
    program = f"import sys, {', '.join(modules_in('ser'))}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "ser" in loaded and not loaded & {"tensorflow", "keras", "numba", *TOP_LEVEL, "study"}


@pytest.mark.parametrize("arguments", [["-c", "import config"], ["data_preprocessing.py", "--help"]],
                         ids=["config", "data_preprocessing"])
def test_config_and_help_load_no_slow_package(arguments):
    """For the other scripts see test_train.py."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "pathlib" in loaded and not loaded & set(SLOW)
