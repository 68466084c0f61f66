"""Identity of code: what changes the hash of a function and what does not, on small projects and on this one."""
import shutil
import textwrap

import pytest
from commands import ROOT

from ser.identity import code_hash

PROJECT = {
    "study.py": '''
        """A small project."""
        import argparse
        import numpy as np
        import helpers
        from helpers import scale
        from package import module
        from package.base import Model

        FACTOR = 2
        UNUSED = 1
        TABLE = {"one": helpers.shift, "two": scale}


        def run(x, weight=0.5):
            """Result for x."""
            if x < 0:
                raise ValueError(f"{x} is negative")
            print("running", x)
            y = scale(x) + weight       # shifted later
            return Network(y).predict() + helpers.shift(y) + module.offset()


        class Network(Model):
            """A model."""
            layers = 3

            def predict(self) -> float:
                return np.tanh(self.double() * FACTOR)


        def lookup(name, x):
            return TABLE[name](x)


        def parse():
            parser = argparse.ArgumentParser(description="Run it.")
            parser.add_argument("--x", help="a number")
            return parser.parse_args()


        def factorial(n):
            return 1 if n < 2 else n * factorial(n - 1)


        def even(n):
            return n == 0 or odd(n - 1)


        def odd(n):
            return n != 0 and even(n - 1)
        ''',
    "helpers.py": '''
        """Helpers."""
        STEP = 1


        def scale(x, by=10):
            return clip(x) * by


        def shift(x):
            return x + STEP


        def clip(x):
            """At most 5."""
            return min(x, 5)


        def unused(x):
            return x
        ''',
    "package/module.py": '''
        def offset(start=0):
            return start + 7
        ''',
    "package/base.py": '''
        class Model:
            def __init__(self, x):
                self.x = x

            def double(self):
                return 2 * self.x
        '''}


def write_project(folder, file=None, old="", new=""):
    """The small project in a folder, with `old` replaced by `new` in one file."""
    for name, text in PROJECT.items():
        text = textwrap.dedent(text).lstrip()
        if name == file:
            assert old in text
            text = text.replace(old, new)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def unchanged(tmp_path):
    return write_project(tmp_path / "unchanged")


SAME = [
    ("docstring of the module", "study.py", "A small project.", "A tiny project."),
    ("docstring", "study.py", '"""Result for x."""', '"""Another docstring."""'),
    ("no docstring", "study.py", '    """Result for x."""\n', ""),
    ("docstring of a class", "study.py", '"""A model."""', '"""The model."""'),
    ("docstring of a helper", "helpers.py", "At most 5.", "Not above 5."),
    ("comment", "study.py", "# shifted later", "# a comment"),
    ("layout", "study.py", "y = scale(x) + weight", "y = (scale( x )\n         + weight)"),
    ("message of an error", "study.py", 'f"{x} is negative"', '"x is below zero"'),
    ("class of an error", "study.py", "raise ValueError", "raise TypeError"),
    ("print", "study.py", 'print("running", x)', 'print("at work")'),
    ("no print", "study.py", '    print("running", x)\n', ""),
    ("return annotation", "study.py", "def run(x, weight=0.5):", "def run(x, weight=0.5) -> float:"),
    ("no return annotation", "study.py", " -> float:", ":"),
    ("argparse help", "study.py", 'help="a number"', 'help="any number"'),
    ("constant not used", "study.py", "UNUSED = 1", "UNUSED = 2"),
    ("function not used", "helpers.py", "def unused(x):\n    return x", "def unused(x):\n    return -x"),
    ("another function", "study.py", "n < 2 else", "n < 3 else"),
    ("name of a helper", "helpers.py", "clip", "limit"),
    ("name of a constant", "helpers.py", "STEP", "INCREMENT"),
    ("name of a class", "study.py", "Network", "Net"),
    ("alias of an import", "study.py", "np", "numpy_"),
]
OTHER = [
    ("constant", "study.py", "FACTOR = 2", "FACTOR = 3"),
    ("operator", "study.py", "scale(x) + weight", "scale(x) - weight"),
    ("condition of an error", "study.py", "if x < 0", "if x <= 0"),
    ("default argument", "study.py", "weight=0.5", "weight=0.6"),
    ("attribute of a class", "study.py", "layers = 3", "layers = 4"),
    ("method", "study.py", "np.tanh", "np.exp"),
    ("base class", "package/base.py", "2 * self.x", "3 * self.x"),
    ("another base class", "study.py", "class Network(Model)", "class Network(dict)"),
    ("from module import function", "helpers.py", "clip(x) * by", "clip(x) / by"),
    ("default argument of a helper", "helpers.py", "by=10", "by=11"),
    ("helper of a helper", "helpers.py", "min(x, 5)", "min(x, 6)"),
    ("constant of a helper", "helpers.py", "STEP = 1", "STEP = 2"),
    ("import module", "helpers.py", "x + STEP", "x - STEP"),
    ("from package import module", "package/module.py", "start + 7", "start + 8"),
    ("other function of the same module", "study.py", "helpers.shift(y)", "helpers.clip(y)"),
    ("function of another package", "study.py", "import numpy as np", "import cupy as np"),
]


@pytest.mark.parametrize("file, old, new", [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_what_cannot_change_a_number_does_not_count(file, old, new, unchanged, tmp_path):
    changed = write_project(tmp_path / "changed", file, old, new)
    assert code_hash("study:run", root=changed) == code_hash("study:run", root=unchanged)


@pytest.mark.parametrize("file, old, new", [case[1:] for case in OTHER], ids=[case[0] for case in OTHER])
def test_what_can_change_a_number_counts(file, old, new, unchanged, tmp_path):
    changed = write_project(tmp_path / "changed", file, old, new)
    assert code_hash("study:run", root=changed) != code_hash("study:run", root=unchanged)


def test_an_import_within_a_function_counts(tmp_path):
    for name, by in (("one", 2), ("other", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("def f(x):\n    from b import g\n    return g(x)\n")
        (tmp_path / name / "b.py").write_text(f"def g(x):\n    return {by} * x\n")
    assert code_hash("a:f", root=tmp_path / "one") != code_hash("a:f", root=tmp_path / "other")


def test_a_name_that_a_module_hands_on_is_followed(unchanged):
    assert code_hash("study:scale", root=unchanged) == code_hash("helpers:scale", root=unchanged)


def test_several_names_count_in_their_order(unchanged):
    one, other, both, reverse = (code_hash(*names, root=unchanged) for names in (
        ["study:run"], ["study:parse"], ["study:run", "study:parse"], ["study:parse", "study:run"]))
    assert len({one, other, both, reverse}) == 4 and len(one) == 16 and int(one, 16) >= 0


@pytest.mark.parametrize("name, old, new", [
    ("factorial", "n * factorial(n - 1)", "n + factorial(n - 1)"),
    ("even", "n != 0 and even", "n > 0 and even"), ("odd", "n == 0 or odd", "n <= 0 or odd")])
def test_recursion_ends(name, old, new, unchanged, tmp_path):
    """Also between two functions, of which either may have changed."""
    changed = write_project(tmp_path / "changed", "study.py", old, new)
    assert code_hash(f"study:{name}", root=changed) != code_hash(f"study:{name}", root=unchanged)


def test_a_skipped_definition_stands_for_its_name_alone(unchanged, tmp_path):
    changed = write_project(tmp_path / "changed", "study.py", '"two": scale', '"two": scale, "three": run')
    assert code_hash("study:lookup", root=changed) != code_hash("study:lookup", root=unchanged)
    one, other = (code_hash("study:lookup", skip=("study:TABLE",), root=root) for root in (changed, unchanged))
    assert one == other
    elsewhere = write_project(tmp_path / "elsewhere", "study.py", "return TABLE[name](x)", "return TABLE[name](-x)")
    assert code_hash("study:lookup", skip=("study:TABLE",), root=elsewhere) != one


@pytest.mark.parametrize("name", ["study:walk", "nowhere:run", "package.nowhere:run", "study:np", "numpy:tanh"])
def test_an_unknown_name_is_an_error(name, unchanged):
    with pytest.raises(LookupError, match=name):
        code_hash("study:run", name, root=unchanged)


def test_a_file_that_changes_is_read_again(unchanged):
    before = code_hash("study:run", root=unchanged)
    path = unchanged / "helpers.py"
    path.write_text(path.read_text().replace("STEP = 1", "STEP = 100"))
    assert code_hash("study:run", root=unchanged) != before


# -- this project ----------------------------------------------------------------------------------
EXTRACTION = "data_preprocessing:extract_clip"
FIT = "study.fitting:fit_fold"


def copy_project(folder, file, old, new):
    """The modules of this project, with `old` replaced by `new` in one of them."""
    for path in [*ROOT.glob("*.py"), *ROOT.glob("ser/*.py"), *ROOT.glob("study/*.py")]:
        (folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.relative_to(ROOT))
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    return folder


@pytest.mark.parametrize("file, old, new, changed, same", [
    ("model.py", "HYBRID_UNITS = 48", "HYBRID_UNITS = 64", ["model:hybrid"],
     ["model:cnn1d", "model:bilstm", "model:mlp", EXTRACTION, FIT]),
    ("model.py", 'layers.Activation("relu")(gate)', 'layers.Activation("gelu")(gate)',
     ["model:cnn1d", "model:hybrid"], ["model:bilstm", "model:mlp"]),
    ("model.py", "CNN1D_DILATIONS = ((1, 2), (2, 4), (4, 8))", "CNN1D_DILATIONS = ((1, 2), (2, 4))",
     ["model:cnn1d"], ["model:mlp", "model:hybrid", "study.networks:NetworkEnsemble"]),
    ("model.py", "Two bidirectional LSTM layers, then", "A BiLSTM, then", [], ["model:bilstm"]),
    ("study/training_form.py", "(count - 1) / count", "1", ["study.networks:NetworkEnsemble"], ["study.svm:DTWSVM"]),
    ("ser/audio.py", "empty: no samples", "no samples", [], [EXTRACTION]),
    ("ser/audio.py", 'quality="HQ"', 'quality="VHQ"', [EXTRACTION], ["model:cnn1d", FIT]),
    ("ser/seeds.py", '"/".join', '"-".join', [EXTRACTION], ["model:cnn1d", FIT]),
    ("features.py", "AMIN = 1e-10", "AMIN = 1e-9", [EXTRACTION], ["model:cnn1d", FIT]),
    ("features.py", "start = max(0, (len(x) - frames) // 2)", "start = 0", [EXTRACTION], [FIT]),
    ("features.py", "std > 1e-6", "std > 1e-5", [FIT], ["model:cnn1d", EXTRACTION]),
    ("ser/dtw.py", "DIAGONAL_STEP_COST = 1.5", "DIAGONAL_STEP_COST = 2.0", ["study.svm:DTWSVM"], [FIT, "model:cnn1d"]),
    ("study/svm.py", '"functionals": 0.7', '"functionals": 0.8', ["study.svm:FunctionalsSVM"], ["study.svm:DTWSVM"]),
], ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "")
def test_a_change_redoes_what_it_touches_and_nothing_else(file, old, new, changed, same, tmp_path):
    project = copy_project(tmp_path, file, old, new)
    assert all(code_hash(name, root=project) != code_hash(name) for name in changed)
    assert all(code_hash(name, root=project) == code_hash(name) for name in same)


@pytest.mark.parametrize("statement", ["LIMIT += 5", "if True:\n    LIMIT = 7", "Helper.factor = 3", "configure(2)"])
def test_other_statements_of_a_module_count(tmp_path, statement):
    """They run when it is imported, and may change what its functions do."""
    source = "LIMIT = 1\n\n\nclass Helper:\n    factor = 2\n\n\ndef configure(n):\n    return n\n\n\n" \
        "def f(x):\n    return x * LIMIT\n"
    (tmp_path / "m.py").write_text(source)
    before = code_hash("m:f", root=tmp_path)
    (tmp_path / "m.py").write_text(f'{source}\n\nif __name__ == "__main__":\n    print(f(1))\n')
    assert code_hash("m:f", root=tmp_path) == before                # an import does not run it
    (tmp_path / "m.py").write_text(f"{source}\n\n{statement}\n")
    assert code_hash("m:f", root=tmp_path) != before
