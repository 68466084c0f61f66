"""The steps of the optimizers, against their definitions."""
from dataclasses import asdict

import keras
import numpy as np
import pytest

import config
from ser.settings import read_settings
from study.optimizer import LARGEST_MATRIX, Muon, make_optimizer
from study.training import Training, training_params

RATE = 0.01


@pytest.fixture
def network():
    x = keras.Input((None, 12))
    y = keras.layers.Conv1D(24, 3, name="conv")(x)
    y = keras.layers.GlobalAveragePooling1D()(y)
    y = keras.layers.Dense(LARGEST_MATRIX // 24 + 1, name="large")(y)
    y = keras.layers.Dense(16, name="hidden")(keras.layers.Dense(16, name="between")(y))
    return keras.Model(x, keras.layers.Dense(5, activation="softmax", name="answer")(y))


def training(**changes):
    usual = asdict(training_params(config.MODELS["cnn1d"], read_settings(config), frame_seconds=0.023))
    return Training(**usual | dict(weight_decay=0.0, ema_decay=0) | changes)


def goes_against_the_sign(gradient, step):
    """As AdamW's first step does, in every number whose gradient is not next to nothing."""
    clear = np.abs(gradient) > 0.01
    return np.allclose(step[clear], -np.sign(gradient[clear]), atol=0.01)


def first_steps(network, optimizer, seed=0):
    """The first step of every trainable variable: {path: (gradient, change)}, in units of the learning rate."""
    rng = np.random.default_rng(seed)
    optimizer.learning_rate = RATE
    before = {v.path: v.numpy() for v in network.trainable_variables}
    gradients = {v.path: rng.standard_normal(v.shape).astype(np.float32) for v in network.trainable_variables}
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients.values()], network.trainable_variables)
    return {v.path: (gradients[v.path], (v.numpy() - before[v.path]) / RATE) for v in network.trainable_variables}


def test_muon_goes_as_far_in_every_direction_of_a_matrix(network):
    """A step is -0.2 sqrt(the longer side) U V' of a gradient U S V', to the accuracy of five Newton-Schulz iterations;
    the kernel of a convolution is a matrix (kernel size x channels, filters)."""
    steps = first_steps(network, make_optimizer(network, training(optimizer="muon")))
    for path in ("conv/kernel", "hidden/kernel"):
        gradient, step = (part.reshape(-1, part.shape[-1]) for part in steps[path])
        u, singular, v = np.linalg.svd(gradient, full_matrices=False)
        unit = step / (-0.2 * np.sqrt(max(step.shape)))
        lengths = np.linalg.svd(unit, compute_uv=False)
        assert singular.max() > 3 * singular.min() and 0.6 < lengths.min() and lengths.max() < 1.3
        along = u.T @ unit @ v.T                                    # diagonal: the same directions, none turned
        assert np.allclose(along, np.diag(np.diag(along)), atol=0.02) and (np.diag(along) > 0.6).all()


def test_muon_leaves_vectors_the_output_layer_and_the_largest_matrices_to_adamw(network):
    steps = first_steps(network, make_optimizer(network, training(optimizer="muon")))
    by_adamw = {path for path, step in steps.items() if goes_against_the_sign(*step)}
    assert by_adamw == {path for path in steps if path.endswith("bias")} | {"answer/kernel", "large/kernel"}


def test_adamw_is_that_of_keras(network):
    steps = first_steps(network, make_optimizer(network, training(optimizer="adamw")))
    assert len(steps) == 10 and all(goes_against_the_sign(*step) for step in steps.values())


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_weight_decay_and_running_mean_reach_either(network, optimizer):
    """Without a gradient a weight shrinks by rate x decay; the mean of the weights follows it by 1 - ema_decay."""
    made = make_optimizer(network, training(optimizer=optimizer, weight_decay=0.5, ema_decay=0.9))
    made.learning_rate = RATE
    kernels = [v for v in network.trainable_variables if v.path in ("hidden/kernel", "answer/kernel")]
    before = [v.numpy() for v in kernels]
    for v in network.trainable_variables:
        assert v.numpy().any() or v.path.endswith("bias")
    made.apply([keras.ops.zeros(v.shape) for v in network.trainable_variables], network.trainable_variables)
    for value, v in zip(before, kernels):
        assert np.allclose(v.numpy(), value * (1 - RATE * 0.5), rtol=1e-4)
    assert isinstance(made, Muon if optimizer == "muon" else keras.optimizers.AdamW) and made.use_ema
