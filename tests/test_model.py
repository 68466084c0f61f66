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


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_a_network_for_any_number_of_frames_is_that_for_its_number(name):
    """As training builds it, for batches of any width, and as it is saved."""
    fixed, free = stirred(getattr(model, name)((N_FRAMES, N), CLASSES)), getattr(model, name)((None, N), CLASSES)
    assert [weight.shape for weight in free.weights] == [weight.shape for weight in fixed.weights]
    free.set_weights(fixed.get_weights())
    for width in (N_FRAMES, 41, 40, 39, 38):                    # every remainder of the strides
        x = clips([38, 20, 1], width)
        padded = clips([38, 20, 1], N_FRAMES)
        assert np.abs(networks.predict_proba(free, x) - networks.predict_proba(fixed, padded)).max() < PADDING


# -- the description ---------------------------------------------------------------------------------
DESCRIPTION = {
    "cnn1d": "Input, Conv1D, residual blocks with a shortcut connection, global average and global max pooling, "
             "concatenated, Dense, softmax.",
    "bilstm": "Two bidirectional LSTM layers, then Dense layers.",
    "hybrid": "CNN layers as feature extractor, their output into an LSTM.",
    "mlp": "Dense layers on the 13 statistical functionals.",
}


@pytest.fixture(scope="module")
def built():
    return {name: getattr(model, name)((13 * N,) if name == "mlp" else (None, N), CLASSES) for name in NETWORKS}


def layers_of(network, *types):
    return [layer for layer in network.layers if isinstance(layer, types)]


@pytest.mark.parametrize("name", NETWORKS)
def test_docstring_opens_with_the_description(name):
    opening = getattr(model, name).__doc__.strip().split("\n\n")[0]
    assert " ".join(opening.split()) == DESCRIPTION[name]


@pytest.mark.parametrize(("name", "dilations"), [("cnn1d", model.CNN1D_DILATIONS), ("hybrid", model.HYBRID_DILATIONS)])
def test_every_residual_block_adds_its_input_to_its_branch(name, dilations, built):
    blocks = [f"stage{stage}_block{dilation}" for stage, group in enumerate(dilations, 1) for dilation in group]
    assert [layer.name for layer in layers_of(built[name], keras.layers.Add)] == [f"{block}_add" for block in blocks]
    for block in blocks:
        shortcut, branch = built[name].get_layer(f"{block}_add").input
        first, second = (built[name].get_layer(f"{block}_conv{number}") for number in (1, 2))
        assert shortcut is first.input and branch is not shortcut       # around both convolutions, not one
        assert descends_from(branch, second.output) and descends_from(second.output, first.output)


def descends_from(tensor, ancestor):
    """Whether a symbolic tensor is computed from another."""
    return tensor is ancestor or any(descends_from(parent, ancestor)
                                     for parent in tensor._keras_history.operation._inbound_nodes[
                                         tensor._keras_history.node_index].input_tensors)


@pytest.mark.parametrize(("name", "count"), [("cnn1d", 0), ("bilstm", 2), ("hybrid", 1), ("mlp", 0)])
def test_number_of_bidirectional_lstm_layers(name, count, built):
    found = layers_of(built[name], keras.layers.Bidirectional)
    assert len(found) == count and all(isinstance(layer.forward_layer, keras.layers.LSTM) for layer in found)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_hidden_dense_layer_before_the_softmax(name, built):
    *hidden, last = layers_of(built[name], keras.layers.Dense)
    assert hidden and all(layer.activation is keras.activations.relu or name == "mlp" for layer in hidden)
    assert last.activation is keras.activations.softmax and last.units == CLASSES
    assert descends_from(last.input, hidden[-1].output)


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_readout_is_global_averages_and_a_global_maximum_of_real_steps(name, built):
    """The last columns are the maximum, those before averages: moved together by what is real, by nothing else."""
    network = stirred(getattr(model, name)((None, N), CLASSES))
    readout = network.get_layer("readout")
    pools = keras.Model(network.input, readout.input)
    averages, largest = pools(clips([40], 40))[:-1], np.array(pools(clips([40], 40))[-1])
    assert len(averages) >= 2
    assert (largest >= np.array(averages[-1]) - 1e-6).all() and (largest > np.array(averages[-1])).any()
    assert np.allclose(largest, pools(clips([40], 60))[-1], atol=1e-6)          # zeros behind the clip are not pooled


def test_pools_leave_padding_out():
    x = np.array([[[-3.0], [-1], [0], [0]], [[-2], [-4], [-6], [-8]], [[0], [0], [0], [0]]], np.float32)
    mask = np.array([[[1], [1], [0], [0]], [[1]] * 4, [[0]] * 4], np.float32)
    assert np.array(model.global_average(x, mask)).ravel().tolist() == [-2, -5, 0]
    assert np.array(model.global_max(x, mask)).ravel().tolist() == [-1, -2, 0]


def test_gate_is_the_closed_form():
    """With its convolutions at zero the gate is sigmoid(beta of the second normalisation), and x - x gate is left."""
    x = keras.Input((6, 4))
    block = keras.Model(x, model.residual_block(x, keras.ops.ones((1, 6, 1)), 1, "block"))
    for weight in block.weights:
        if "conv" in weight.path:
            weight.assign(np.zeros(weight.shape))
    beta = [weight for weight in block.weights if weight.path.endswith("beta")][-1]
    beta.assign(np.full(4, 0.5))
    y = np.random.default_rng(0).random((2, 6, 4), np.float32)
    assert np.allclose(block(y), y - y / (1 + np.exp(-0.5)), atol=1e-6)


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
