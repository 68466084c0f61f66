"""Settings: their limits, written beside each value in config.py; overrides; and the check of them all.

    SAMPLE_RATE: Real(4000, 192_000) = 22_050       the annotation is the limit, the value the default

    settings = read_settings(config)                read-only: settings.SAMPLE_RATE
    settings = override(settings, ["SAMPLE_RATE=16000", "MODELS.mlp.epochs=10"])
    validate(settings, PROTOCOL=PROTOCOLS, ...)     raises UserError: setting, value, and what it may be

Each(()) and OneOf(()) stand for the names of a table elsewhere, which `validate` is given.
"""
import ast
import os
import re
import shlex
from numbers import Integral
from numbers import Real as RealNumber
from pathlib import Path
from typing import NamedTuple

from ser.errors import UserError

PROJECT = Path(__file__).parents[1]


def home_folder():
    """Where the relative folders of config.py begin: $SER_HOME, else the project; as an empty path where that is the
    working folder, which keeps messages short."""
    home = Path(os.environ.get("SER_HOME") or PROJECT).absolute()
    return Path() if home == Path.cwd() else home


def install_command(extra):
    """What installs the packages of one of the extras in pyproject.toml, to be pasted into a terminal anywhere."""
    return f"pip install -e {shlex.quote(f'{PROJECT}[{extra}]')}"


# -- limits ----------------------------------------------------------------------------------------
class Real(NamedTuple):
    """A number from `low` to `high`, either of which may be the name of another setting; None too, if `optional`."""
    low: object
    high: object
    optional: bool = False
    type_name, number_type = "a number", RealNumber

    def violation(self, value, settings):
        """What the value should be, as text, or None if it is that."""
        low, high = (getattr(settings, limit) if isinstance(limit, str) else limit for limit in (self.low, self.high))
        if self.optional and value is None or is_number(value, self.number_type, low, high):
            return None
        return f"{self.type_name} within {low} .. {high}{' or None' * self.optional}"


class Whole(Real):
    """A whole number."""
    type_name, number_type = "a whole number", Integral


class Interval(NamedTuple):
    """A pair (lowest, highest) of numbers from `low` to `high`."""
    low: float
    high: float

    def violation(self, value, settings):
        fits = isinstance(value, tuple | list) and len(value) == 2 and all(
            is_number(number, RealNumber, self.low, self.high) for number in value) and value[0] <= value[1]
        return None if fits else f"a pair (lowest, highest) within {self.low} .. {self.high}"


class OneOf(NamedTuple):
    """One of several values."""
    values: tuple

    def violation(self, value, settings):
        return None if value in self.values else f"one of {', '.join(map(str, self.values))}"


class Each(NamedTuple):
    """A tuple of names out of `names`, in any order; all of them, if `all_needed`; at least one, unless `empty`."""
    names: tuple
    all_needed: bool = False
    empty: bool = False

    def violation(self, value, settings):
        if not isinstance(value, tuple | list) or not value and not self.empty:
            first = self.names[0]
            return f'a list of names, such as ("{first}",)' if isinstance(first, str) else \
                f"a list of numbers, such as ({first},)"
        unknown = [name for name in value if name not in self.names]
        if unknown:
            return f"a list of names out of {', '.join(map(str, self.names))}: {unknown[0]!r} is none of them"
        if self.all_needed and sorted(value) != sorted(self.names):
            return f"all of {', '.join(self.names)} (in any order)"
        return None


class Text(NamedTuple):
    """A path or a name; None too, if `optional`."""
    optional: bool = False

    def violation(self, value, settings):
        fits = isinstance(value, str | Path) and str(value) or self.optional and value is None
        return None if fits else f"a path or a name{' or None' * self.optional}"


class FolderName(NamedTuple):
    """The name of one folder, not a path."""

    def violation(self, value, settings=None):
        fits = isinstance(value, str) and value and Path(value).name == value and not value.startswith(".")
        return None if fits else "a plain folder name"


class Model(NamedTuple):
    """A row of config.MODELS: what is fitted, and on what. The last four are of networks; None elsewhere."""
    builder: str                    # "module:name": a function as in model.py, or a class as in study/svm.py
    input: str                      # "frames": (frames, n) of a clip, or "functionals": (13 n,)
    label: str                      # in figures and reports
    epochs: int | None = None       # at most; one epoch is all training clips and their augmented copies
    batch_size: int | None = None   # clips per step
    optimizer: str | None = None    # "adamw" or "muon": study/optimizer.py
    learning_rate: float | None = None      # at the start

    @property
    def is_network(self):
        return self.epochs is not None


MODEL_LIMITS = dict(input=OneOf(("frames", "functionals")), epochs=Whole(1, 10**5), batch_size=Whole(1, 10**6),
                    optimizer=OneOf(("adamw", "muon")), learning_rate=Real(1e-7, 1))


class Models(NamedTuple):
    """A table {name: Model}."""

    def violation(self, value, settings):
        for name, row in value.items():
            if not re.fullmatch(r"[\w.]+:\w+", str(row.builder)):
                return f'usable: {name}.builder = {row.builder!r} is not of the form "module:name"'
            if not row.is_network and not row.builder.startswith("study."):
                return f"usable: {name}.epochs = None, and {row.builder} is a network"
            for field, limit in MODEL_LIMITS.items():
                if field == "input" or row.is_network:
                    allowed = limit.violation(getattr(row, field), settings)
                    if allowed:
                        return f"usable: {name}.{field} = {getattr(row, field)!r} is not {allowed}"
        return None


class Recipes(NamedTuple):
    """A table {name: {setting, or field of every network in MODELS: value}}; the values are checked once applied."""

    def violation(self, value, settings):
        known = {*settings.values(), *(Model._fields)} - {"RECIPE", "RECIPES", "MODELS"}
        for name, changes in value.items():
            unknown = sorted(set(changes) - known)
            if unknown:
                return f"usable: {name} changes {unknown[0]!r}, which is no setting and no field of a model"
        return None


class Range(NamedTuple):
    """What a search draws from: numbers from `low` to `high`, evenly or, "log", with evenly spaced logarithms; whole
    ones where both ends are."""
    low: float
    high: float
    scale: str = "linear"


class Search(NamedTuple):
    """A table {setting, or row and field of MODELS as for --set: Range, or a tuple of values}."""

    def violation(self, value, settings):
        for name, choices in value.items():
            if isinstance(choices, Range):
                usable = is_number(choices.low, RealNumber, -1e300, choices.high) and (
                    choices.scale == "linear" or choices.scale == "log" and choices.low > 0)
            else:
                usable = isinstance(choices, tuple | list) and len(choices) > 0
            if not usable:
                return f'usable: {name}: {choices!r} is neither a tuple of values nor a Range(low, high) with low <= ' \
                    'high, above 0 for "log"'
        return None


def is_number(value, number_type, low, high):
    return isinstance(value, number_type) and not isinstance(value, bool) and low <= value <= high


# -- values ----------------------------------------------------------------------------------------
class Settings:
    """Values by name, read-only: settings.N_FFT; `limits` {name: limit}, `overridden` {name as given: value}."""

    def __init__(self, values, limits, overridden=None):
        self.__dict__.update(values, limits=limits, overridden=overridden or {})

    def __setattr__(self, name, value):
        raise AttributeError(f"settings are read-only; replace({name}=...) gives a changed copy")

    def replace(self, **changes):
        """A copy with other values."""
        unknown = set(changes) - set(self.values())
        if unknown:
            raise AttributeError(f"there is no setting {min(unknown)}")
        return Settings(self.values() | changes, self.limits, self.overridden)

    def with_recipe(self, **changes):
        """A copy with other values; a name in lower case is a field of every network in MODELS (see config.RECIPES)."""
        fields = {name: changes.pop(name) for name in list(changes) if name.islower()}
        models = {name: row._replace(**fields) if row.is_network else row for name, row in self.MODELS.items()}
        return self.replace(**changes, MODELS=models)

    def origin(self, name):
        """Where the value of a setting comes from, for messages."""
        return "--set" if any(target.split(".")[0] == name for target in self.overridden) else "config.py"

    def values(self):
        """{name: value}, in the order of config.py."""
        return {name: value for name, value in vars(self).items() if name.isupper()}

    def as_json(self):
        """`values`, with rows of tables as {field: value}."""
        return {name: {key: row._asdict() if isinstance(row, Model) else row for key, row in value.items()}
                if isinstance(value, dict) else value for name, value in self.values().items()}


def read_settings(module):
    """The Settings of a module such as config.py: its upper-case names, limits from their annotations."""
    values = {name: value for name, value in vars(module).items() if name.isupper()}
    return Settings(values, dict(module.__annotations__))


def override(settings, assignments):
    """Settings changed by ["NAME=VALUE", "MODELS.mlp.epochs=10", ...]; a value is a Python literal, or else text.

    raises : UserError
    """
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        name, *keys = target.strip().split(".")
        known = settings.values()
        if not equals or name not in known:
            raise UserError(f"--set {assignment}: write NAME=VALUE with a NAME of config.py" + (
                f"; {name!r} is none" if equals else ""))
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            value = text.strip()
        if isinstance(known[name], Path) and isinstance(value, str):
            value = Path(value)
        settings = Settings(known | {name: replace_field(known[name], keys, value, assignment)}, settings.limits,
                            settings.overridden | {target.strip(): value})
    return settings


def replace_field(table, keys, value, assignment):
    """`value` itself, or for a table of rows a copy in which the field that `keys` (row, field) name has it."""
    if not isinstance(table, dict) and not keys:
        return value
    if isinstance(table, dict) and not all(isinstance(row, Model) for row in table.values()):
        raise UserError(f"--set {assignment}: set what the recipe changes, such as EMA_DECAY, or edit config.py")
    if not isinstance(table, dict) or len(keys) != 2 or keys[0] not in table or keys[1] not in table[keys[0]]._fields:
        example = f"{assignment.split('.')[0].split('=')[0]}.<name>.<field>=VALUE" if isinstance(table, dict) else \
            "NAME=VALUE"
        raise UserError(f"--set {assignment}: write {example}, with names that stand in config.py")
    return table | {keys[0]: table[keys[0]]._replace(**{keys[1]: value})}


def apply_recipe(settings, name, assignments):
    """Settings changed by a row of RECIPES, and those of ["NAME=VALUE", ...] that are left to be made.

    name   : of the row; None: the one that an assignment names, else that of the settings
    raises : UserError
    """
    naming = [text for text in assignments if text.partition("=")[0].strip() == "RECIPE"]
    if name and naming:
        raise UserError(f"--recipe {name} and --set {naming[0]}: one of the two")
    settings = override(settings, naming)
    settings = settings.replace(RECIPE=name or settings.RECIPE)
    validate(settings, only=("RECIPE", "RECIPES"), RECIPE=settings.RECIPES)
    return settings.with_recipe(**settings.RECIPES[settings.RECIPE]), [
        text for text in assignments if text not in naming]


def validate(settings, only=None, **known):
    """Check every setting against its limit.

    only   : names of settings, to check no others
    known  : {setting: names}, for settings whose limit is a table elsewhere: Each or OneOf without names
    raises : UserError
    """
    for name, limit in settings.limits.items():
        if only is not None and name not in only:
            continue
        if name in known:
            limit = limit._replace(**{limit._fields[0]: tuple(known[name])})
        value = getattr(settings, name)
        allowed = limit.violation(value, settings)
        if allowed:
            shown = "" if isinstance(value, dict) else f" = {value!r}"
            raise UserError(f"{settings.origin(name)}: {name}{shown} is not {allowed}")
