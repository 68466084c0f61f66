"""Which class fits a row of config.MODELS, with which hyperparameters, and which one reads a saved model back."""
import importlib
import importlib.util
import re
from dataclasses import asdict

from ser.errors import UserError
from ser.identity import code_hash
from ser.signals import defer_interrupts
from study.training import convolution_precision, training_params


def estimator_name(row):
    """The "module:name" of the class that fits a row of config.MODELS."""
    return "study.networks:NetworkEnsemble" if row.is_network else row.builder


def estimator_class(name):
    """The class of that name, of study/ alone; study.networks loads TensorFlow. raises : ValueError"""
    if not re.fullmatch(r"study\.\w+:\w+", str(name)):
        raise ValueError(f"{name!r} is not a model of this project")
    module, _, attribute = name.partition(":")
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"{name!r} is not a model of this project")
    with defer_interrupts():            # an import of Keras that is cut short would report a missing package
        found = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(found, type) or not isinstance(getattr(found, "FILE", None), str):
        raise ValueError(f"{name!r} is not a model of this project")
    return found


def identity_names(row):
    """The code that decides the numbers of a fit of this row: names for ser.identity.code_hash."""
    return ["study.fitting:fit_fold", "study.tasks:prediction_table", "ser.metrics:fit_metrics", estimator_name(row),
            *([row.builder] if row.is_network else [])]


def check_rows(rows, settings):
    """Can these rows {name: row of config.MODELS} be fitted here? raises : UserError"""
    if any(row.is_network for row in rows.values()):
        convolution_precision(settings.PRECISION)
    for name, row in rows.items():
        try:
            code_hash(*identity_names(row))
            if not row.is_network and getattr(estimator_class(row.builder), "INPUT", None) != row.input:
                raise LookupError(f"{row.builder} does not take {row.input}")
        except (LookupError, ValueError) as problem:
            raise UserError(f"MODELS: {name}: {problem}") from problem


def hyperparameters(row, settings, frame_seconds):
    """What decides a fit of this row, beside its data and seed: {argument of its class: value}.

    frame_seconds : from one frame of the feature to the next
    """
    if row.is_network:
        return asdict(training_params(row, settings, frame_seconds))
    return estimator_class(row.builder).hyperparameters(row, settings)
