"""Settings: limits with values inside and outside, overrides, and those of config.py."""
import json
import types
from pathlib import Path

import pytest

import config
import features
from ser import alterations, splits
from ser.errors import UserError
from ser.settings import Each, Interval, Model, Models, OneOf, Real, Text, Whole, override, read_settings, validate

KNOWN = dict(DEFAULT_FEATURES=features.FEATURES, DEFAULT_MODELS=config.MODELS, PROTOCOL=splits.PROTOCOLS,
             ALTERATIONS=alterations.ALTERATIONS, RECIPE=config.RECIPES)
NAMES = ("red", "green")
ROW = Model("model:mlp", "functionals", "MLP", 40, 64, "adamw", 2e-3)


# -- limits ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit, inside, outside, allowed", [
    (Real(0.5, 2), [0.5, 1, 2, 2.0], [0.49, 2.01, "1", None, True, float("nan"), (1,)], "a number within 0.5 .. 2"),
    (Real(1, 9, optional=True), [1, 9.0, None], [0, -30, "high", False], "a number within 1 .. 9 or None"),
    (Real(0, "TOP"), [0, 5.0], [5.1], "a number within 0 .. 5"),
    (Whole(1, 3), [1, 3], [0, 4, 2.0, 2.5, "2", None, True], "a whole number within 1 .. 3"),
    (Whole(0, "TOP"), [0, 5], [6], "a whole number within 0 .. 5"),
    (Interval(-2, 2), [(-2, 2), [0.5, 0.5]], [1, (1,), (1, 2, 3), (2, -2), (-3, 0), (0, 3), (0, "1"), (0, True), None],
     "a pair (lowest, highest) within -2 .. 2"),
    (OneOf(NAMES), ["red"], ["blue", None, 1, ("red",), ["red"]], "one of red, green"),
    (OneOf((True, False)), [True, False], ["True", None, 2], "one of True, False"),
    (Each(NAMES), [("red",), ["green", "red"]], ["red", (), None, 5], 'a list of names, such as ("red",)'),
    (Each(NAMES), [NAMES], [("red", "blue")], "a list of names out of red, green: 'blue' is none of them"),
    (Each(NAMES, empty=True), [(), NAMES], ["red", None], 'a list of names, such as ("red",)'),
    (Each(NAMES, all_needed=True), [NAMES, NAMES[::-1]], [("red",), ("red", "green", "red")],
     "all of red, green (in any order)"),
    (Text(), ["name", Path("folder"), Path()], ["", None, 5, ("a",)], "a path or a name"),
    (Text(optional=True), ["name", None], ["", 5], "a path or a name or None"),
    (Models(), [{}, {"mlp": ROW}, {"svm": Model("study.svm:FunctionalsSVM", "functionals", "SVM")}],
     [{"mlp": ROW._replace(epochs=2.5)}], "usable: mlp.epochs = 2.5 is not a whole number within 1 .. 100000"),
    (Models(), [{"mlp": ROW._replace(input="frames")}], [{"mlp": ROW._replace(input="pixels")}],
     "usable: mlp.input = 'pixels' is not one of frames, functionals"),
    (Models(), [{"mlp": ROW._replace(batch_size=1)}], [{"mlp": ROW._replace(batch_size=0)}],
     "usable: mlp.batch_size = 0 is not a whole number within 1 .. 1000000"),
    (Models(), [{"mlp": ROW._replace(optimizer="muon")}], [{"mlp": ROW._replace(optimizer="sgd")}],
     "usable: mlp.optimizer = 'sgd' is not one of adamw, muon"),
    (Models(), [{"mlp": ROW._replace(learning_rate=1)}], [{"mlp": ROW._replace(learning_rate=-2e-3)}],
     "usable: mlp.learning_rate = -0.002 is not a number within 1e-07 .. 1"),
], ids=lambda value: type(value).__name__ if isinstance(value, tuple) and hasattr(value, "violation") else "")
def test_a_limit_lets_through_what_is_inside_and_says_what_is_allowed(limit, inside, outside, allowed):
    settings = types.SimpleNamespace(TOP=5)
    assert [value for value in inside if limit.violation(value, settings)] == []
    assert {limit.violation(value, settings) for value in outside} == {allowed}


# -- config.py -------------------------------------------------------------------------------------
def test_every_setting_has_its_limit():
    settings = read_settings(config)
    assert list(settings.limits) == list(settings.values()) == [name for name in vars(config) if name.isupper()]
    assert all(hasattr(limit, "violation") for limit in settings.limits.values())
    assert set(KNOWN) == {name for name, limit in settings.limits.items() if limit[:1] == ((),)}    # tables elsewhere


def test_the_defaults_are_within_their_limits():
    validate(read_settings(config), **KNOWN)


def test_limits_that_are_settings_exist_and_are_checked_before():
    names = list(read_settings(config).limits)
    for name, limit in read_settings(config).limits.items():
        for other in filter(lambda value: isinstance(value, str), limit):
            assert names.index(other) < names.index(name)


@pytest.mark.parametrize("name, value, words", [
    ("DEFAULT_FEATURES", ("mfcc", "chroma"), "whisper, whisper_frames: 'chroma' is none of"),
    ("DEFAULT_MODELS", ("cnn2d",), "a list of names out of cnn1d, bilstm, hybrid, mlp, svm, dtw, linear: 'cnn2d'"),
    ("DEFAULT_FEATURES", "mfcc", "DEFAULT_FEATURES = 'mfcc' is not a list of names, such as (\"mfcc\",)"),
    ("DEFAULT_MODELS", (), "DEFAULT_MODELS = () is not a list of names"),
    ("LR_SCHEDULE", "linear", "LR_SCHEDULE = 'linear' is not one of cosine, plateau"),
    ("CHECKPOINT", None, "CHECKPOINT = None is not one of last, best"),
    ("PROTOCOL", "holdout", "PROTOCOL = 'holdout' is not one of stratified, timnet, "),
    ("N_FOLDS", 1, "N_FOLDS = 1 is not a whole number within 2"),
    ("N_FOLDS", "5", "N_FOLDS = '5' is not a whole number within"),
    ("ENSEMBLE_SIZE", 2.5, "ENSEMBLE_SIZE = 2.5 is not a whole number within"),
    ("EMA_DECAY", 1.5, "EMA_DECAY = 1.5 is not a number within"),
    ("EMA_DECAY", True, "EMA_DECAY = True is not a number within"),
    ("CEPSTRAL_DECAY", 0, "CEPSTRAL_DECAY = 0 is not a number within 1 .. 1000 or None"),
    ("TRIM_DB", -30, "TRIM_DB = -30 is not a number within 1 .. 200 or None"),
    ("N_MFCC", 200, "N_MFCC = 200 is not a whole number within 1 .. 128"),
    ("N_GAUSS_COEFFICIENTS", 65, "N_GAUSS_COEFFICIENTS = 65 is not a whole number within 1 .. 64"),
    ("F_MAX", "high", "F_MAX = 'high' is not a number within"),
    ("F_MIN", -1.0, "F_MIN = -1.0 is not a number within"),
    ("SEED", -1, "SEED = -1 is not a whole number within 0 .. 4294967295"),
    ("STRETCH_RATE", 1.1, "STRETCH_RATE = 1.1 is not a pair (lowest, highest) within 0.25 .. 4"),
    ("STRETCH_RATE", (1.2, 0.8), "STRETCH_RATE = (1.2, 0.8) is not a pair"),
    ("LEVEL", "loud", "LEVEL = 'loud' is not one of recorded, peak, speech"),
    ("ALTERATIONS", ("fire",), "ALTERATIONS = ('fire',) is not a list of names out of room, speech_noise"),
    ("ADAPT", "everyone", "ADAPT = 'everyone' is not one of none, speaker"),
    ("ENCODER_BLOCKS", (1, 99), "99 is none of them"),
    ("CACHE_DIR", "", "CACHE_DIR = '' is not a path or a name"),
    ("RUN_NAME", "../mine", "RUN_NAME = '../mine' is not a plain folder name"),
    ("MODELS", config.MODELS | {"mlp": config.MODELS["mlp"]._replace(epochs=2.5)},
     "MODELS is not usable: mlp.epochs = 2.5 is not a whole number within 1 .. 100000"),
    ("MODELS", config.MODELS | {"mlp": config.MODELS["mlp"]._replace(learning_rate=-2e-3)},
     "MODELS is not usable: mlp.learning_rate = -0.002 is not a number within"),
    ("RECIPE", "best", "RECIPE = 'best' is not one of tuned, described"),
    ("RECIPES", {"long": dict(EPOCHS=9)}, "RECIPES is not usable: long changes 'EPOCHS', which is no setting"),
    ("RECIPES", {"long": dict(RECIPE="long")}, "RECIPES is not usable: long changes 'RECIPE'"),
    ("PRECISION", "float16", "PRECISION = 'float16' is not one of auto, float32, bfloat16"),
    ("CLASSES", config.CLASSES[1:], "is not all of neutral, calm, happy, sad, angry, fearful, disgust, surprised"),
    ("CLASSES", (*config.CLASSES, "bored"), "'bored' is none of them"),
])
def test_a_setting_that_cannot_work_is_named(monkeypatch, name, value, words):
    """As a user meets it: an edited config.py."""
    monkeypatch.setattr(config, name, value)
    with pytest.raises(UserError) as error:
        validate(read_settings(config), **KNOWN)
    assert str(error.value).startswith(f"config.py: {name}") and words in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_what_no_network_needs_is_not_asked_of_an_svm():
    rows = {name: row for name, row in config.MODELS.items() if not row.is_network}
    assert set(rows) == {"svm", "dtw", "linear"}
    validate(read_settings(config).replace(MODELS=rows, DEFAULT_MODELS=("svm",), TRIM_DB=None, CEPSTRAL_DECAY=None,
                                           DATA_DIR=None), **KNOWN | {"DEFAULT_MODELS": rows})


def test_settings_are_written_as_json(settings):
    written = json.loads(json.dumps(settings().as_json(), default=str))
    assert list(written) == [name for name in vars(config) if name.isupper()]
    assert written["MODELS"]["mlp"] == dict(builder="model:mlp", input="functionals", label="MLP", epochs=40,
                                            batch_size=128, optimizer="adamw", learning_rate=3e-3)
    assert written["RECIPES"]["described"]["EARLY_STOPPING_PATIENCE"] == 30
    assert written["SAMPLE_RATE"] == 22_050 and written["CLASSES"] == list(config.CLASSES)


def test_a_recipe_changes_settings_and_every_network_but_no_other_model(settings):
    before = settings()
    changed = before.with_recipe(EMA_DECAY=0, epochs=7)
    assert (changed.EMA_DECAY, changed.N_FFT) == (0, before.N_FFT)
    assert {name: row.epochs for name, row in changed.MODELS.items()} == dict(
        dict.fromkeys(("cnn1d", "bilstm", "hybrid", "mlp"), 7), svm=None, dtw=None, linear=None)
    assert changed.MODELS["mlp"]._replace(epochs=40) == config.MODELS["mlp"]
    assert before.with_recipe().values() == before.values()


# -- overrides -------------------------------------------------------------------------------------
@pytest.mark.parametrize("assignment, name, value", [
    ("SAMPLE_RATE=16000", "SAMPLE_RATE", 16_000),
    ("EMA_DECAY = 0.999", "EMA_DECAY", 0.999),
    ("TRIM_DB=None", "TRIM_DB", None),
    ("ALTERATIONS=('room', 'gain')", "ALTERATIONS", ("room", "gain")),
    ("STRETCH_RATE=(0.9, 1.1)", "STRETCH_RATE", (0.9, 1.1)),
    ("DEFAULT_FEATURES=('mel',)", "DEFAULT_FEATURES", ("mel",)),
    ("LR_SCHEDULE=plateau", "LR_SCHEDULE", "plateau"),
    ("LR_SCHEDULE='plateau'", "LR_SCHEDULE", "plateau"),
    ("RUN_NAME=a=b", "RUN_NAME", "a=b"),
    ("CACHE_DIR=some/where", "CACHE_DIR", Path("some/where")),
    ("DATA_DIR=my.csv", "DATA_DIR", "my.csv"),
])
def test_a_value_is_a_literal_a_path_or_text(settings, assignment, name, value):
    before = settings()
    after = override(before, [assignment])
    assert getattr(after, name) == value and type(getattr(after, name)) is type(value)
    assert after.values() == before.values() | {name: value} and after.overridden == {name: value}
    assert before.overridden == {}


def test_a_field_of_a_model_is_overridden_and_the_other_rows_stay(settings):
    before = settings()
    after = override(before, ["MODELS.mlp.epochs=10", "MODELS.cnn1d.learning_rate=1e-3", "MODELS.mlp.epochs=12"])
    assert after.MODELS == before.MODELS | {"mlp": before.MODELS["mlp"]._replace(epochs=12),
                                            "cnn1d": before.MODELS["cnn1d"]._replace(learning_rate=1e-3)}
    assert before.MODELS == config.MODELS
    assert after.overridden == {"MODELS.mlp.epochs": 12, "MODELS.cnn1d.learning_rate": 1e-3}


@pytest.mark.parametrize("assignment, words", [
    ("SAMPLERATE=16000", "write NAME=VALUE with a NAME of config.py; 'SAMPLERATE' is none"),
    ("sample_rate=16000", "'sample_rate' is none"),
    ("limits={}", "'limits' is none"),
    ("SAMPLE_RATE", "write NAME=VALUE with a NAME of config.py"),
    ("=5", "'' is none"),
    ("SAMPLE_RATE.hz=5", "write NAME=VALUE, with names that stand in config.py"),
    ("MODELS=5", "write MODELS.<name>.<field>=VALUE, with names that stand in config.py"),
    ("MODELS.mlp=5", "write MODELS.<name>.<field>=VALUE"),
    ("MODELS.transformer.epochs=5", "write MODELS.<name>.<field>=VALUE"),
    ("MODELS.mlp.dropout=5", "write MODELS.<name>.<field>=VALUE"),
    ("MODELS.mlp.epochs.first=5", "write MODELS.<name>.<field>=VALUE"),
])
def test_an_unknown_name_is_an_error_that_says_what_to_write(settings, assignment, words):
    with pytest.raises(UserError) as error:
        override(settings(), ["N_FOLDS=4", assignment])
    assert str(error.value).startswith(f"--set {assignment}: ") and words in str(error.value)


@pytest.mark.parametrize("assignment, words", [
    ("N_FOLDS=1", "--set: N_FOLDS = 1 is not a whole number within 2 .. 100"),
    ("EMA_DECAY=high", "--set: EMA_DECAY = 'high' is not a number within"),
    ("MODELS.mlp.epochs=0", "--set: MODELS is not usable: mlp.epochs = 0 is not"),
])
def test_an_override_outside_its_limits_is_said_to_come_from_set(settings, assignment, words):
    with pytest.raises(UserError, match=f"^{words.replace('.', '[.]')}"):
        validate(override(settings(), [assignment]), **KNOWN)


def test_a_value_of_config_py_is_not_said_to_come_from_set(settings):
    with pytest.raises(UserError, match="^config[.]py: N_FOLDS = 1 is not"):
        validate(override(settings(N_FOLDS=1), ["SEED=1"]), **KNOWN)


# -- read-only -------------------------------------------------------------------------------------
def test_settings_are_read_only_and_replace_gives_a_copy(settings):
    before = settings()
    with pytest.raises(AttributeError, match=r"read-only; replace\(N_FOLDS=...\) gives a changed copy"):
        before.N_FOLDS = 3
    after = before.replace(N_FOLDS=3, SEED=1)
    assert type(after) is type(before) and (after.N_FOLDS, after.SEED) == (3, 1)
    assert (before.N_FOLDS, before.SEED) == (config.N_FOLDS, config.SEED)
    assert after.limits == before.limits
    assert override(before, ["SEED=2"]).replace(N_FOLDS=3).overridden == {"SEED": 2}


def test_a_name_that_is_no_setting_cannot_be_replaced(settings):
    with pytest.raises(AttributeError, match="there is no setting FOLDS"):
        settings().replace(N_FOLDS=3, FOLDS=3)
