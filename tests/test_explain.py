"""Explanations of networks whose secret is known."""
import keras
import numpy as np
import pytest

import model
from study import explain, networks

pytestmark = pytest.mark.usefixtures("one_thread")


def network(shape, secret):
    """Two outputs; the logit of the second is the sum of the input times `secret`, that of the first 0."""
    x = keras.Input(shape)
    flat = keras.layers.Flatten()(x) if len(shape) == 2 else x
    made = keras.Model(x, keras.layers.Dense(2, activation="softmax")(flat))
    weights = np.stack([np.zeros(secret.size), secret.ravel()], axis=1)
    made.layers[-1].set_weights([weights, np.zeros(2)])
    return made


def test_occlusion_finds_the_patch_that_decides():
    """The log-odds are the sum over a known patch, so their fall is what of that sum was blanked."""
    secret = np.zeros((24, 16), np.float32)
    secret[8:12, 4:6] = 1
    x = np.ones((24, 16), np.float32)
    fall = explain.occlusion(network((24, 16), secret), x, 20, 1, patch=(4, 0.125))         # 4 frames, 2 columns
    assert fall.shape == (20, 16)
    assert fall[9:11, 4:6].min() > 2 and fall.max() <= 8 + 1e-4             # all of its 8 cells, at most
    elsewhere = np.ones_like(fall, bool)
    elsewhere[5:15, 2:8] = False                                            # patches that touch it reach so far
    assert np.abs(fall[elsewhere]).max() < 1e-4
    against = explain.occlusion(network((24, 16), secret), x, 20, 0, patch=(4, 0.125))
    assert np.allclose(against, -fall, atol=1e-4)                           # for one is against the other


def test_importance_is_that_of_the_group_in_use():
    """Columns 2 and 3 decide by their sign; without them guessing remains."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 6)).astype(np.float32)
    groups = np.repeat([0, 1, 2], 2)
    secret = np.zeros(6)
    secret[2:4] = 5
    labels = (x[:, 2] + x[:, 3] > 0).astype(int)
    falls = explain.permutation_importance(network((6,), secret), x, labels, groups, rng, repeats=4)
    assert falls.shape == (3, 4) and (falls[[0, 2]] == 0).all()
    assert falls[1].mean() == pytest.approx(0.5, abs=0.1)                   # from 100 % to 50 %


@pytest.mark.parametrize("clips", [1, explain.BATCH_SIZE + 3])
def test_penultimate_is_what_the_last_layer_sees(clips):
    x = keras.Input((5,))
    hidden = keras.layers.Dense(3, name="hidden")(keras.layers.Dropout(0.5)(x))
    made = keras.Model(x, keras.layers.Dense(2, activation="softmax")(hidden))
    given = np.random.default_rng(1).standard_normal((clips, 5)).astype(np.float32)
    seen = explain.penultimate(made, given)
    kernel, bias = made.get_layer("hidden").get_weights()
    assert np.allclose(seen, given @ kernel + bias, atol=1e-5)
    assert np.allclose(networks.predict_proba(made, given), explain.predict_batches(made, given))


def test_penultimate_of_an_averaged_network_is_that_of_its_members():
    networks = [model.mlp((26,), 8) for _ in range(2)]
    given = np.random.default_rng(1).standard_normal((4, 26)).astype(np.float32)
    expected = np.concatenate([explain.penultimate(network, given) for network in networks], axis=1)
    assert np.abs(expected[:, :128] - expected[:, 128:]).max() > 1e-3
    assert np.allclose(explain.penultimate(model.average_ensemble(networks), given), expected, atol=1e-6)
