"""The networks, before any training."""
import ast
from pathlib import Path

import keras
import numpy as np
import pytest

import model

from study import networks  # isort: skip (first: it loads Keras quietly)
import config

N_FRAMES, N, CLASSES = 60, 13, 8
SEQUENCE_MODELS = ("cnn1d", "bilstm", "hybrid")
NETWORKS = (*SEQUENCE_MODELS, "mlp")
# Longer padding sums more zeros and changes how a product is cut into blocks: rounding, a few units of 2^-24.
PADDING = 2e-6


@pytest.fixture(scope="module", autouse=True)
def seeded():
    networks.use_one_thread()
    keras.utils.set_random_seed(0)


def clips(lengths, frames, seed=0):
    """Normalised random clips, zero behind their lengths: (clips, frames, N)."""
    x = np.random.default_rng(seed).standard_normal((len(lengths), max(lengths), N)).astype(np.float32)
    x = np.pad(x, ((0, 0), (0, frames - max(lengths)), (0, 0)))
    x[np.arange(frames) >= np.array(lengths)[:, None]] = 0
    return x


def stirred(network):
    """Batch-normalisation statistics away from 0 and 1, as training leaves them."""
    rng = np.random.default_rng(1)
    for weight in network.weights:
        if weight.path.endswith(("moving_mean", "beta", "moving_variance", "gamma")):
            value = rng.uniform(0.5, 1.5, weight.shape)
            weight.assign(value if weight.path.endswith(("moving_variance", "gamma")) else value - 1)
    return network


def test_every_network_of_the_settings_has_its_builder():
    assert [row.builder for row in config.MODELS.values() if row.is_network] == [f"model:{name}" for name in NETWORKS]
    for name in NETWORKS:
        assert getattr(model, name).__doc__


@pytest.mark.parametrize("name", NETWORKS)
def test_gives_probabilities(name):
    shape = (13 * N,) if name == "mlp" else (N_FRAMES, N)
    network = stirred(getattr(model, name)(shape, CLASSES))
    x = np.random.default_rng(0).standard_normal((5, *shape)).astype(np.float32)
    p = networks.predict_proba(network, x)
    assert p.shape == (5, CLASSES) and network.output_shape == (None, CLASSES)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-5) and (p > 0).all()
    assert np.ptp(p, axis=0).max() > 1e-3           # it does look at its input


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
@pytest.mark.parametrize("longer", [N_FRAMES + 1, N_FRAMES + 7, 2 * N_FRAMES])
def test_padding_moves_no_probability(name, longer):
    short = stirred(getattr(model, name)((N_FRAMES, N), CLASSES))
    long = getattr(model, name)((longer, N), CLASSES)
    long.set_weights(short.get_weights())
    lengths = [N_FRAMES, 37, 20, 1]
    p, q = networks.predict_proba(short, clips(lengths, N_FRAMES)), networks.predict_proba(long, clips(lengths, longer))
    assert np.abs(p - q).max() < PADDING


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_the_last_real_frame_counts(name):
    network = stirred(getattr(model, name)((N_FRAMES, N), CLASSES))
    x = clips([37], N_FRAMES)
    changed = x.copy()
    changed[0, 36] += 3
    assert np.abs(networks.predict_proba(network, x) - networks.predict_proba(network, changed)).max() > 100 * PADDING


def test_gate_is_the_closed_form():
    """With its convolutions at zero the gate is sigmoid(beta of the second normalisation)."""
    x = keras.Input((6, 4))
    block = keras.Model(x, model.gated_block(x, keras.ops.ones((1, 6, 1)), 1, "block"))
    for weight in block.weights:
        if "conv" in weight.path:
            weight.assign(np.zeros(weight.shape))
    beta = [weight for weight in block.weights if weight.path.endswith("beta")][-1]
    beta.assign(np.full(4, 0.5))
    y = np.random.default_rng(0).random((2, 6, 4), np.float32)
    assert np.allclose(block(y), y / (1 + np.exp(-0.5)), atol=1e-6)


@pytest.mark.parametrize("dilation", [1, 2, 4, 7, 32])
def test_folded_convolution_is_a_dilated_one(dilation):
    """The route over Conv2D equals Keras's own dilated Conv1D, also where the steps do not fill the last row."""
    rng = np.random.default_rng(dilation)
    x = rng.standard_normal((2, 30, 4), dtype=np.float32)
    kernel = rng.standard_normal((3, 4, 5), dtype=np.float32)
    folded = keras.ops.conv(model.interleave(x, dilation), kernel[:, None], padding="same")
    dilated = keras.ops.conv(x, kernel, padding="same", dilation_rate=dilation)
    assert np.allclose(np.reshape(folded, (2, -1, 5))[:, :30], dilated, atol=1e-5)


def test_reloads_bit_identical_without_our_code(tmp_path):
    for name in NETWORKS:
        shape = (13 * N,) if name == "mlp" else (N_FRAMES, N)
        network = stirred(getattr(model, name)(shape, CLASSES))
        path = tmp_path / f"{name}.keras"
        path.write_bytes(networks.network_bytes(network))
        again = keras.models.load_model(path, safe_mode=True)
        x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
        assert np.array_equal(networks.predict_proba(network, x), networks.predict_proba(again, x)), name


def test_only_backend_neutral_imports():
    tree = ast.parse(Path(model.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert modules == {"keras"}
