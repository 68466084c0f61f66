"""One fit: batches, honesty, and the same digits again."""
import io
import itertools
import random
import tempfile
import threading
import zipfile
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import config
from features import standardise
from ser.processor import has_bfloat16
from ser.settings import read_settings
from study import batches, fitting, networks
from study.training import Training, training_params
from study.training_form import FusedBatchNormalization, training_form

CLASSES = 8
CLIPS, VARIANTS, N_FRAMES, N = 96, 2, 24, 6


pytestmark = pytest.mark.usefixtures("one_thread")


def training(model, **changes):
    """Hyperparameters of a network of config.py, small and short, with these changes."""
    small = dict(epochs=3, batch_size=16)
    usual = training_params(config.MODELS[model], read_settings(config), frame_seconds=512 / 22_050)
    return asdict(usual) | small | changes


def fit(model, x, lengths, labels, member_splits, seed, **changes):
    """The outcome of a fit by name, and the estimator."""
    estimator = networks.NetworkEnsemble(CLASSES, seed, **training(model, **changes))
    outcome = fitting.fit_fold(estimator, x, lengths, labels, member_splits)
    return vars(outcome) | dict(model=estimator.save()["model.keras"], history=estimator.history)


@pytest.fixture(scope="module")
def corpus():
    """Random clips whose mean gives away their label, and their parts."""
    rng = np.random.default_rng(0)
    labels = np.arange(CLIPS) % CLASSES
    x = rng.standard_normal((CLIPS, VARIANTS, N_FRAMES, N)).astype(np.float32)
    x += labels[:, None, None, None] * np.linspace(-1, 1, N, dtype=np.float32)
    lengths = rng.integers(10, N_FRAMES + 1, (CLIPS, VARIANTS))
    parts = {"train": np.arange(0, 64), "validation": np.arange(64, 80), "test": np.arange(80, 96)}
    return x, lengths, labels, parts


def weights(outcome):
    """The bytes of all weights, and of the optimizer's state, as saved."""
    with zipfile.ZipFile(io.BytesIO(outcome["model"])) as archive:
        return archive.read("model.weights.h5")


def same_training(one, other):
    return (weights(one) == weights(other)
            and one["history"].drop(columns="seconds").equals(other["history"].drop(columns="seconds"))
            and np.array_equal(one["validation"], other["validation"]))


# -- honesty ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", ["cnn1d", "mlp"])
def test_test_clips_do_not_touch_training(model, corpus):
    """Other test labels, other test sound: weights, history and validation are the same bits."""
    x, lengths, labels, parts = corpus
    if model == "mlp":
        x, lengths = x.mean(axis=2), None
    first = fit(model, x, lengths, labels, [parts], 7)
    x_changed, labels_changed = x.copy(), labels.copy()
    rng = np.random.default_rng(1)
    x_changed[parts["test"]] = 50 * rng.standard_normal(x[parts["test"]].shape)
    labels_changed[parts["test"]] = rng.permutation(labels[parts["test"]])
    changed = fit(model, x_changed, lengths, labels_changed, [parts], 7)
    assert same_training(first, changed)
    assert not np.array_equal(first["test"], changed["test"])       # and the change did arrive


def test_training_clips_and_seed_do_matter(corpus):
    x, lengths, labels, parts = corpus
    first = fit("mlp", x.mean(axis=2), None, labels, [parts], 7)
    other_seed = fit("mlp", x.mean(axis=2), None, labels, [parts], 8)
    changed = x.copy()
    changed[parts["train"][0], 1] += 1                              # one copy of one clip
    other_copy = fit("mlp", changed.mean(axis=2), None, labels, [parts], 7)
    assert not same_training(first, other_seed) and not same_training(first, other_copy)


def test_copies_of_validation_and_test_clips_are_not_used(corpus):
    x, lengths, labels, parts = corpus
    first = fit("mlp", x.mean(axis=2), None, labels, [parts], 7)
    changed = x.copy()
    changed[np.r_[parts["validation"], parts["test"]], 1:] = 99
    again = fit("mlp", changed.mean(axis=2), None, labels, [parts], 7)
    assert same_training(first, again) and np.array_equal(first["test"], again["test"])


@pytest.mark.parametrize("keep", ["best", "last"])
def test_kept_weights_are_those_of_the_epoch_asked_for(keep, corpus):
    x, lengths, labels, parts = corpus
    outcome = fit("mlp", x.mean(axis=2), None, labels, [parts], 3, epochs=12, learning_rate=0.05, ema_decay=0.5,
                  checkpoint=keep)
    history = outcome["history"]
    accuracy = (outcome["validation"].argmax(axis=1) == labels[parts["validation"]]).mean()
    best = history.kept.argmax()
    assert history.kept.sum() == 1
    assert accuracy == pytest.approx(history["val_accuracy"][best])
    assert best == 11 if keep == "last" else history["val_accuracy"][best] == max(history["val_accuracy"])
    targets = networks.smoothed_one_hot(labels[parts["validation"]], config.LABEL_SMOOTHING, CLASSES)
    loss = -(targets * np.log(outcome["validation"])).sum(axis=1).mean()
    assert loss == pytest.approx(history["val_loss"][best], rel=1e-4)     # the averaged weights, not the raw ones


def test_stops_early_and_lowers_the_learning_rate(corpus):
    """Validation labels that cannot be learnt: no epoch gets better for long."""
    x, lengths, labels, parts = corpus
    labels = labels.copy()
    labels[parts["validation"]] = np.random.default_rng(0).integers(0, CLASSES, len(parts["validation"]))
    outcome = fit("mlp", x.mean(axis=2), None, labels, [parts], 3, epochs=60, early_stopping_patience=6,
                  checkpoint="best", lr_schedule="plateau", plateau_patience=2, plateau_factor=0.5)
    epochs = outcome["history"]["epoch"]
    assert len(epochs) < 60 and len(epochs) == outcome["history"].kept.argmax() + 1 + 6
    rates = np.array(outcome["history"]["learning_rate"])
    assert rates[-1] < rates[0] and set(np.round(rates[:-1] / rates[1:], 3)) <= {1.0, 2.0}


def test_cosine_falls_from_the_learning_rate_to_almost_nothing(corpus):
    x, lengths, labels, parts = corpus
    outcome = fit("mlp", x.mean(axis=2), None, labels, [parts], 3, epochs=8, learning_rate=0.01,
                  lr_schedule="cosine")
    rates = np.array(outcome["history"]["learning_rate"])
    assert rates[0] == pytest.approx(0.01) and rates[4] == pytest.approx(0.005) and rates[-1] < 0.001
    assert (np.diff(rates) < 0).all()


# -- members ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", ["hybrid", "mlp"])
def test_a_fit_is_the_mean_of_its_members(model, corpus):
    """Test clips: the mean of the networks in the saved model. Validation clips: the one that left them out."""
    x, lengths, labels, parts = corpus
    if model == "mlp":
        x, lengths = x.mean(axis=2), None
    second = dict(parts, train=np.arange(16, 80), validation=np.arange(0, 16))
    outcome = fit(model, x, lengths, labels, [parts, second], 7)
    assert len(outcome["validation"]) == 32 and len(outcome["history"]) == 2 * 3
    assert list(outcome["history"].member) == [0, 0, 0, 1, 1, 1]
    network = loaded(outcome["model"])
    single = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    scaler = outcome["mean"], outcome["std"]
    ready = lambda clips: fitting.load_unaugmented(x, lengths, clips, scaler)                       # noqa: E731
    answers = [networks.predict_proba(member, ready(parts["test"])) for member in single]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3                         # they are not the same network
    assert np.allclose(np.mean(answers, axis=0), outcome["test"], atol=1e-6)
    for member, own, found in ((1, second, outcome["validation"][:16]), (0, parts, outcome["validation"][16:])):
        assert np.allclose(networks.predict_proba(single[member], ready(own["validation"])), found, atol=1e-6)


def loaded(content):
    """The network in the bytes of a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        return networks.load_network(path)


def test_a_member_does_not_train_on_what_it_leaves_out(corpus):
    """Other labels of its validation clips: the second member, which trains on them, changes; the first does not."""
    x, lengths, labels, parts = corpus
    members = [parts, dict(parts, train=np.arange(16, 80), validation=np.arange(0, 16))]
    changed = labels.copy()
    changed[parts["validation"]] = (changed[parts["validation"]] + 1) % CLASSES
    before, after = (fit("mlp", x.mean(axis=2), None, own, members, 7)["history"]
                     for own in (labels, changed))
    loss = before.loss.eq(after.loss)
    assert loss[before.member == 0].all() and not loss[before.member == 1].any()


# -- the same digits again ---------------------------------------------------------------------------
@pytest.mark.parametrize("model", ["bilstm", "mlp"])
def test_a_network_used_again_is_as_good_as_new(model, corpus, monkeypatch):
    x, lengths, labels, parts = corpus
    if model == "mlp":
        x, lengths = x.mean(axis=2), None
    monkeypatch.setattr(networks, "TRACED_NETWORKS", {})
    new = fit(model, x, lengths, labels, [parts], 7)
    fit(model, x, lengths, labels, [parts], 8)
    used_again = fit(model, x, lengths, labels, [parts], 7)
    assert len(networks.TRACED_NETWORKS) == 1
    assert same_training(new, used_again) and np.array_equal(new["test"], used_again["test"])


def test_a_step_is_traced_once_in_a_process(corpus, monkeypatch):
    """For both members of a fit, and for the next fit; the layers of a saved network are named alike whatever was
    built before."""
    x, lengths, labels, parts = corpus
    traced, train_step = [], keras.Model.train_step
    monkeypatch.setattr(networks, "TRACED_NETWORKS", {})
    monkeypatch.setattr(keras.Model, "train_step", lambda self, data: traced.append(1) or train_step(self, data))
    names = []
    for seed in (7, 8):
        outcome = fit("mlp", x.mean(axis=2), None, labels, [parts, parts], seed)
        names.append([layer.name for layer in outcome["estimator"].network._flatten_layers()])
        networks.build("model:mlp", (3,), CLASSES)
    assert traced == [1] and names[0] == names[1]


def test_weights_are_drawn_by_the_initialisers_of_their_layers(monkeypatch):
    """Large enough for the variance of each to show: 2 / 400 of he_normal, 2 / 450 of glorot_uniform, ones."""
    monkeypatch.setattr(networks, "TRACED_NETWORKS", {})
    settings = Training(**training("mlp", builder="test_networks:initialised"))
    network, _ = networks.new_network(settings, (400,), CLASSES, 1, 7)
    he, glorot, ones = (layer.kernel.numpy() for layer in network.layers[1:4])
    assert he.var() == pytest.approx(2 / 400, rel=0.05) and glorot.var() == pytest.approx(2 / 450, rel=0.05)
    assert np.abs(glorot).max() < np.sqrt(6 / 450) < np.abs(he).max() and (ones == 1).all()
    recurrent = network.layers[5].cell
    assert np.allclose(recurrent.recurrent_kernel @ recurrent.recurrent_kernel.numpy().T, 4 * np.eye(8), atol=1e-5)


def initialised(input_shape, classes):
    inputs = keras.Input(input_shape)
    x = keras.layers.Dense(400, kernel_initializer="he_normal")(inputs)
    x = keras.layers.Dense(50)(x)
    x = keras.layers.Dense(classes, kernel_initializer="ones")(x)
    x = keras.layers.Reshape((2, classes // 2))(x)
    x = keras.layers.SimpleRNN(8, recurrent_initializer=keras.initializers.Orthogonal(gain=2))(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))


def test_batch_normalisation_with_options_of_its_own_is_left_to_keras():
    inputs = keras.Input((5, 3))
    x = keras.layers.BatchNormalization(axis=1, name="over_frames")(inputs)
    x = keras.layers.BatchNormalization(scale=False, name="unscaled")(x)
    network = training_form(keras.Model(inputs, keras.layers.BatchNormalization(name="plain")(x)), "float32")
    fused = {layer.name for layer in network.layers if isinstance(layer, FusedBatchNormalization)}
    assert fused == {"plain"}
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    assert np.isfinite(network(x, training=True)).all()


def test_networks_for_other_shapes_or_settings_are_built_anew(corpus, monkeypatch):
    x, lengths, labels, parts = corpus
    monkeypatch.setattr(networks, "TRACED_NETWORKS", {})
    fit("mlp", x.mean(axis=2), None, labels, [parts], 7)
    fit("mlp", x.mean(axis=2)[..., :4], None, labels, [parts], 7)
    fit("mlp", x.mean(axis=2), None, labels, [parts], 7, weight_decay=0.5)
    assert len(networks.TRACED_NETWORKS) == 3


def test_other_threads_may_draw_random_numbers(corpus):
    """A worker of a cluster has threads of its own, which use Python's generator."""
    x, lengths, labels, parts = corpus
    x, lengths = x.mean(axis=2), None
    quiet = fit("mlp", x, lengths, labels, [parts], 7)
    done = threading.Event()

    def draw():
        while not done.wait(0.001):
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        networks.TRACED_NETWORKS.clear()
        disturbed = fit("mlp", x, lengths, labels, [parts], 7)
    finally:
        done.set()
        thread.join()
    assert same_training(quiet, disturbed)


def test_initial_weights_are_drawn_as_usual():
    """Glorot's uniform limit, orthogonal recurrence, unit forget bias; no two layers alike; dropout seeded."""
    network, _ = networks.new_network(Training(**training("hybrid")), (N_FRAMES, N), CLASSES, 4, 5)
    values = {variable.path: variable.numpy() for variable in network.variables}
    kernels = [value for path, value in values.items() if path.endswith("/kernel")]
    for kernel in kernels:
        receptive = np.prod(kernel.shape[:-2], initial=1)
        limit = np.sqrt(6 / (receptive * (kernel.shape[-2] + kernel.shape[-1])))
        assert 0.9 * limit < np.abs(kernel).max() <= limit
    recurrent = [value for path, value in values.items() if path.endswith("recurrent_kernel")]
    assert len(recurrent) == 2 and not np.allclose(*recurrent)
    for kernel in recurrent:
        assert np.allclose(kernel @ kernel.T, np.eye(len(kernel)), atol=1e-5)
    states = [tuple(value) for path, value in values.items() if "seed_generator" in path]
    assert len(states) == len(set(states)) >= 4 and all(state[1] == 0 for state in states)
    units = len(recurrent[0])
    bias = next(value for path, value in values.items() if "lstm" in path and path.endswith("bias"))
    assert np.array_equal(bias, np.repeat([0, 1, 0, 0], units))


# -- the form that is trained ----------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(20, 5), (7, 11, 5)])
def test_fused_batch_normalisation_is_that_of_keras(shape):
    """Outputs, gradients and moving statistics; again when not training."""
    rng = np.random.default_rng(0)
    x, weight = (tf.constant(rng.standard_normal(shape) * 2 + 1, tf.float32) for _ in range(2))
    outcomes = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.9)
        layer.build(shape)
        layer.gamma.assign(np.arange(1, 6.0))
        layer.beta.assign(np.arange(5.0))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(weight * y)
        outcomes.append([y, *tape.gradient(loss, [x, layer.gamma.value, layer.beta.value]), layer.moving_mean,
                         layer.moving_variance, layer(x, training=False)])
    for expected, fused in zip(*outcomes):
        assert np.abs(np.array(expected)).max() > 0.1
        assert np.allclose(expected, fused, atol=2e-5, rtol=1e-4)


# How far a probability may move: by rounding, and by numbers of two to three digits where the processor has them.
PRECISIONS = {"float32": 1e-6} | ({"bfloat16": 0.02} if has_bfloat16() else {})


@pytest.mark.parametrize("model", ["cnn1d", "bilstm", "hybrid", "mlp"])
def test_the_form_that_is_trained_has_the_variables_and_answers_of_the_network(model):
    shape = (13 * N,) if model == "mlp" else (None, N)
    plain = networks.build(config.MODELS[model].builder, shape, CLASSES)
    x = np.random.default_rng(0).standard_normal((4, 13 * N) if model == "mlp" else (4, N_FRAMES, N), np.float32)
    for precision, tolerance in PRECISIONS.items():
        fast = training_form(plain, precision)
        assert [(v.name, v.shape) for v in fast.variables] == [(v.name, v.shape) for v in plain.variables]
        fast.set_weights(plain.get_weights())
        apart = np.abs(fast(x, training=False) - plain(x, training=False)).max()
        assert apart < tolerance and (precision == "float32" or model == "mlp" or apart > 1e-6)
        fused = [layer for layer in fast.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert fused and all(isinstance(layer, FusedBatchNormalization) for layer in fused)


@pytest.mark.skipif(not has_bfloat16(), reason="no bfloat16 on this processor")
def test_a_fit_in_bfloat16_is_saved_and_answers_in_float32(corpus):
    x, lengths, labels, parts = corpus
    fits = {precision: fit("cnn1d", x, lengths, labels, [parts], 1, precision=precision)
            for precision in ("float32", "bfloat16")}
    for outcome in fits.values():
        assert {layer.compute_dtype for layer in outcome["estimator"].network.layers} == {"float32"}
    assert not same_training(*fits.values())


# -- batches ---------------------------------------------------------------------------------------
def make_epochs(x, lengths, rows, labels, scaler=(0, 1), *, batch_size=8, seed=5, **augmentation):
    """Epoch after epoch, each a list of (inputs, one-hot targets), as they are unless an augmentation is asked for."""
    off = dict(mixup_alpha=0, max_time_mask=0, max_freq_mask=0)
    endless = iter(batches.make_dataset(x, lengths, rows, np.eye(CLASSES, dtype=np.float32)[labels], scaler,
                                        batch_size=batch_size, seed=seed, **off | augmentation))
    while True:
        yield [(x.numpy(), y.numpy()) for x, y in itertools.islice(endless, len(rows) // batch_size)]


def test_an_epoch_sees_every_clip_once_and_epochs_differ():
    x = np.arange(32, dtype=np.float32)[:, None]
    epochs = make_epochs(x, None, np.arange(32), np.arange(32) % CLASSES)
    first, second = next(epochs), next(epochs)
    seen = np.concatenate([batch for batch, _ in first]).ravel()
    assert sorted(seen) == list(range(32)) and list(seen) != list(range(32))
    assert not np.array_equal(seen, np.concatenate([batch for batch, _ in second]).ravel())
    for batch, target in first:
        assert (target.argmax(axis=1) == batch.ravel() % CLASSES).all()


def test_batches_repeat_with_the_seed_and_draw_anew_each_epoch():
    x = np.random.default_rng(0).standard_normal((32, 20, 6)).astype(np.float32)
    make = lambda seed: make_epochs(x, np.full(32, 20), np.arange(32), np.arange(32) % CLASSES,    # noqa: E731
                                    seed=seed, mixup_alpha=0.2, max_time_mask=15, max_freq_mask=1)
    epochs, again, other = make(5), next(make(5)), next(make(6))
    first, second = next(epochs), next(epochs)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not np.array_equal(first[0][0], second[0][0]) and not np.array_equal(first[0][0], other[0][0])


def test_a_batch_is_its_rows_standardised_and_zero_where_padded():
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((40, 20, 6)).astype(np.float32), rng.integers(5, 21, 40)
    mean, std = rng.standard_normal(6).astype(np.float32), rng.uniform(1, 2, 6).astype(np.float32)
    rows = np.arange(39, 7, -2)                                             # some, in an order of their own
    seen = np.concatenate([np.pad(batch, ((0, 0), (0, 20 - batch.shape[1]), (0, 0))) for batch, _ in next(
        make_epochs(x, lengths, rows, np.arange(16) % CLASSES, (mean, std)))])
    expected = standardise(x[rows], mean, std, lengths[rows])
    assert sorted(map(np.sum, seen)) == pytest.approx(sorted(map(np.sum, expected)), abs=1e-3)
    order = [np.abs(expected - clip).max(axis=(1, 2)).argmin() for clip in seen]
    assert sorted(order) == list(range(16)) and np.allclose(seen, expected[order], atol=1e-6)
    assert np.array_equal(seen == 0, expected[order] == 0)


def test_clips_of_similar_length_share_a_batch_no_wider_than_it_must_be():
    """A clip's first column is its number, its second its real frames, so that a batch says what is in it."""
    lengths = np.random.default_rng(0).integers(1, 129, 640)
    x = np.zeros((640, 128, 2), np.float32)
    x[:, 0, 0], x[:, 0, 1] = np.arange(640), lengths
    epochs = make_epochs(x, lengths, np.arange(640), np.arange(640) % CLASSES, (0, 1), batch_size=32)
    first, second = next(epochs), next(epochs)
    assert sorted(np.concatenate([batch[:, 0, 0] for batch, _ in first])) == list(range(640))
    for batch, target in first:
        number, real = batch[:, 0, 0].astype(int), batch[:, 0, 1]
        assert (target.argmax(axis=1) == number % CLASSES).all() and (lengths[number] == real).all()
        assert 0 <= batch.shape[1] - real.max() < batches.WIDTH_STEP
        assert np.ptp(real) <= batches.LENGTH_JITTER + 16               # 20 batches are 6.4 frames apart, and jitter
    assert np.mean([batch.shape[1] for batch, _ in first]) < 100                                    # padded: 128
    widths = [[batch.shape[1] for batch, _ in epoch] for epoch in (first, second)]
    assert widths[0] != sorted(widths[0]) and widths[0] != widths[1]                                # in random order
    together = [{frozenset(batch[:, 0, 0]) for batch, _ in epoch} for epoch in (first, second)]
    assert not together[0] & together[1]                                                            # other partners


def test_a_network_that_needs_its_number_of_frames_gets_whole_clips(corpus, monkeypatch):
    """One that flattens them: built for batches as wide as the clips are padded."""
    x, lengths, labels, parts = corpus
    assert networks.takes_any_width("model:cnn1d", N, CLASSES)
    assert not networks.takes_any_width("test_networks:flat", N, CLASSES)
    outcome = fit("cnn1d", x, lengths, labels, [parts], 1, builder="test_networks:flat")
    assert outcome["estimator"].network.input_shape == (None, N_FRAMES, N)
    epochs = make_epochs(x[:, 0], lengths[:, 0], np.arange(64), labels[:64], any_width=False)
    assert {batch.shape for batch, _ in next(epochs)} == {(8, N_FRAMES, N)}


def flat(input_shape, classes):
    frames = keras.Input(input_shape)
    return keras.Model(frames, keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(frames)))


def test_the_remainder_of_an_epoch_is_another_each_time():
    drawn = [batches.batch_indices(tf.constant([3, 1, 4, 1, 5], tf.int64), 5, 2, draw).numpy() for draw in range(20)]
    assert all(indices.shape == (2, 2) and len(set(indices.ravel())) == 4 for indices in drawn)
    assert set(range(5)) == {({0, 1, 2, 3, 4} - set(indices.ravel())).pop() for indices in drawn}


def test_mixup_mixes_clips_and_targets_by_the_same_share():
    share = batches.mixup_weights(8, 0.4, [1, 2])
    clips, targets = batches.mixup(tf.eye(8) * 2.0, share).numpy(), batches.mixup(tf.eye(8), share).numpy()
    assert np.allclose(clips, 2 * targets) and np.allclose(targets.sum(axis=1), 1)
    shares = targets[np.arange(8), np.arange(8)]
    assert (shares >= 0.5).all() and len(set(shares)) > 4                   # one draw a clip, itself outweighing
    assert np.allclose(targets[np.arange(8), np.arange(8) - 1], 1 - shares)


def test_mixup_in_a_batch_reaches_the_clips_as_it_reaches_the_targets():
    """Clips that are their targets, twice as large: so they must come out, whatever was drawn."""
    x = 2 * np.eye(8, dtype=np.float32)[np.arange(64) % 8]
    seen = next(make_epochs(x, None, np.arange(64), np.arange(64) % 8, batch_size=16, mixup_alpha=0.2))
    assert all(np.allclose(batch, 2 * target, atol=1e-6) for batch, target in seen)
    assert any(0.05 < target.max(axis=1).min() < 0.95 for _, target in seen)


def test_mixup_shares_are_beta_distributed():
    alpha = 0.4
    share = batches.mixup_weights(20_000, alpha, [3, 4]).numpy()
    # E[share (1 - share)] of Beta(a, a) is a / (2 (2a + 1)); the folding to the larger half keeps it.
    expected = alpha / (2 * (2 * alpha + 1))
    assert (share * (1 - share)).mean() == pytest.approx(expected, rel=0.03)        # about 4 standard errors


def test_no_mixup_changes_nothing():
    x = tf.random.stateless_normal((4, 3), [1, 2])
    assert np.array_equal(batches.mixup(x, batches.mixup_weights(4, 0, [1, 2])), x)


def test_mask_is_one_run_of_zeros_up_to_the_widest():
    mask = batches.random_mask(2000, 30, 5, [1, 2]).numpy()
    zeros = (mask == 0).sum(axis=1)
    assert set(zeros) == {0, 1, 2, 3, 4, 5}
    starts = (np.diff(mask, axis=1, prepend=1) == -1).sum(axis=1)
    assert ((starts == 1) == (zeros > 0)).all()
    assert (mask.mean(axis=0) < 1).all()                                    # every position is masked at times


def test_smoothing_spreads_a_share():
    targets = networks.smoothed_one_hot(np.array([2]), 0.1, CLASSES)
    assert targets[0, 2] == pytest.approx(0.9 + 0.1 / 8) and targets[0, 0] == pytest.approx(0.1 / 8)
    assert targets.sum() == pytest.approx(1)
