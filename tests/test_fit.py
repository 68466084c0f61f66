"""One fit: batches, honesty, and the same digits again."""
import numpy as np
import pytest
import tensorflow as tf

import fit

CLASSES = 8
CLIPS, VERSIONS, FRAMES, N = 96, 2, 24, 6


@pytest.fixture(scope="module")
def small(settings):
    fit.one_thread()
    return settings(EPOCHS=dict.fromkeys(("cnn1d", "bilstm", "hybrid", "mlp"), 3),
                    BATCH_SIZE=dict.fromkeys(("cnn1d", "bilstm", "hybrid", "mlp"), 16))


@pytest.fixture(scope="module")
def corpus():
    """Random clips whose mean gives away their label, and their parts."""
    rng = np.random.default_rng(0)
    labels = np.arange(CLIPS) % CLASSES
    x = rng.standard_normal((CLIPS, VERSIONS, FRAMES, N)).astype(np.float32)
    x += labels[:, None, None, None] * np.linspace(-1, 1, N, dtype=np.float32)
    lengths = rng.integers(10, FRAMES + 1, (CLIPS, VERSIONS))
    parts = {"train": np.arange(0, 64), "validation": np.arange(64, 80), "test": np.arange(80, 96)}
    return x, lengths, labels, parts


def weights(outcome):
    return np.concatenate([weight.ravel() for weight in outcome["network"].get_weights()])


def same_training(one, other):
    columns = [name for name in one["history"] if name != "seconds"]
    return (np.array_equal(weights(one), weights(other))
            and all(one["history"][name] == other["history"][name] for name in columns)
            and np.array_equal(one["validation"], other["validation"]))


# -- honesty ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["cnn1d", "mlp"])
def test_test_clips_do_not_touch_training(kind, corpus, small):
    """Other test labels, other test sound: weights, history and validation are the same bits."""
    x, lengths, labels, parts = corpus
    if kind == "mlp":
        x, lengths = x.mean(axis=2), None
    first = fit.fit(kind, x, lengths, labels, parts, 7, small)
    x_changed, labels_changed = x.copy(), labels.copy()
    rng = np.random.default_rng(1)
    x_changed[parts["test"]] = 50 * rng.standard_normal(x[parts["test"]].shape)
    labels_changed[parts["test"]] = rng.permutation(labels[parts["test"]])
    changed = fit.fit(kind, x_changed, lengths, labels_changed, parts, 7, small)
    assert same_training(first, changed)
    assert not np.array_equal(first["test"], changed["test"])       # and the change did arrive


def test_training_clips_and_seed_do_matter(corpus, small):
    x, lengths, labels, parts = corpus
    first = fit.fit("mlp", x.mean(axis=2), None, labels, parts, 7, small)
    other_seed = fit.fit("mlp", x.mean(axis=2), None, labels, parts, 8, small)
    changed = x.copy()
    changed[parts["train"][0], 1] += 1                              # one copy of one clip
    other_copy = fit.fit("mlp", changed.mean(axis=2), None, labels, parts, 7, small)
    assert not same_training(first, other_seed) and not same_training(first, other_copy)


def test_copies_of_validation_and_test_clips_are_not_used(corpus, small):
    x, lengths, labels, parts = corpus
    first = fit.fit("mlp", x.mean(axis=2), None, labels, parts, 7, small)
    changed = x.copy()
    changed[np.r_[parts["validation"], parts["test"]], 1:] = 99
    again = fit.fit("mlp", changed.mean(axis=2), None, labels, parts, 7, small)
    assert same_training(first, again) and np.array_equal(first["test"], again["test"])


def test_kept_weights_are_those_of_the_best_validation_epoch(corpus, small, settings):
    x, lengths, labels, parts = corpus
    outcome = fit.fit("mlp", x.mean(axis=2), None, labels, parts, 3, settings(
        **{name: getattr(small, name) for name in ("BATCH_SIZE",)}, EPOCHS={"mlp": 12}, LEARNING_RATE={"mlp": 0.05},
        EMA=0.5))
    history = outcome["history"]
    accuracy = (outcome["validation"].argmax(axis=1) == labels[parts["validation"]]).mean()
    assert accuracy == pytest.approx(max(history["val_accuracy"]))
    best = outcome["best_epoch"] - 1
    assert history["val_accuracy"][best] == max(history["val_accuracy"])
    targets = fit.smooth(labels[parts["validation"]], small.LABEL_SMOOTHING, CLASSES)
    loss = -(targets * np.log(outcome["validation"])).sum(axis=1).mean()
    assert loss == pytest.approx(history["val_loss"][best], rel=1e-4)     # the averaged weights, not the raw ones


def test_stops_early_and_lowers_the_learning_rate(corpus, settings):
    """Validation labels that cannot be learnt: no epoch gets better for long."""
    x, lengths, labels, parts = corpus
    labels = labels.copy()
    labels[parts["validation"]] = np.random.default_rng(0).integers(0, CLASSES, len(parts["validation"]))
    outcome = fit.fit("mlp", x.mean(axis=2), None, labels, parts, 3, settings(
        EPOCHS={"mlp": 60}, BATCH_SIZE={"mlp": 16}, EARLY_STOPPING_PATIENCE=6, PLATEAU_PATIENCE=2, PLATEAU_FACTOR=0.5))
    epochs = outcome["history"]["epoch"]
    assert len(epochs) < 60 and len(epochs) == outcome["best_epoch"] + 6
    rates = np.array(outcome["history"]["learning_rate"])
    assert rates[-1] < rates[0] and set(np.round(rates[:-1] / rates[1:], 3)) <= {1.0, 2.0}


# -- batches ---------------------------------------------------------------------------------------
def rows(dataset):
    return [(x.numpy(), y.numpy()) for x, y in dataset]


def test_an_epoch_sees_every_clip_once_and_epochs_differ(settings):
    plain = settings(MIXUP_ALPHA=0, TIME_MASK_SECONDS=0, BAND_MASK_SHARE=0, LABEL_SMOOTHING=0)
    x = np.arange(32, dtype=np.float32)[:, None]
    dataset = fit.batches(x, np.arange(32) % CLASSES, 8, 5, plain)
    first, second = rows(dataset), rows(dataset)
    seen = np.concatenate([batch for batch, _ in first]).ravel()
    assert sorted(seen) == list(range(32)) and list(seen) != list(range(32))
    assert not np.array_equal(seen, np.concatenate([batch for batch, _ in second]).ravel())
    for batch, target in first:
        assert (target.argmax(axis=1) == batch.ravel() % CLASSES).all()


def test_batches_repeat_with_the_seed_and_draw_anew_each_epoch(settings):
    x = np.random.default_rng(0).standard_normal((32, 20, 6)).astype(np.float32)
    make = lambda seed: fit.batches(x, np.arange(32) % CLASSES, 8, seed, settings())      # noqa: E731
    dataset = make(5)
    first, second, again, other = rows(dataset), rows(dataset), rows(make(5)), rows(make(6))
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again))
    assert not np.array_equal(first[0][0], second[0][0]) and not np.array_equal(first[0][0], other[0][0])


def test_mixup_mixes_clips_and_targets_by_the_same_share():
    x, targets = tf.eye(8) * 2.0, tf.eye(8)
    mixed, mixed_targets = (t.numpy() for t in fit.mixup(x, targets, 0.4, [1, 2]))
    assert np.allclose(mixed, 2 * mixed_targets) and np.allclose(mixed_targets.sum(axis=1), 1)
    shares = mixed_targets[np.arange(8), np.arange(8)]
    assert (shares >= 0.5).all() and len(set(shares)) > 4                   # one draw a clip, itself outweighing
    assert np.allclose(mixed_targets[np.arange(8), np.arange(8) - 1], 1 - shares)


def test_mixup_shares_are_beta_distributed():
    alpha, n = 0.4, 20_000
    _, mixed = fit.mixup(tf.zeros((n, 1)), tf.one_hot(tf.range(n) % 2, 2), alpha, [3, 4])
    share = mixed.numpy().max(axis=1)                                       # neighbours differ in class
    # E[share (1 - share)] of Beta(a, a) is a / (2 (2a + 1)); the folding to the larger half keeps it.
    expected = alpha / (2 * (2 * alpha + 1))
    assert (share * (1 - share)).mean() == pytest.approx(expected, rel=0.03)        # about 4 standard errors


def test_no_mixup_changes_nothing():
    x, targets = tf.random.stateless_normal((4, 3), [1, 2]), tf.eye(4)
    assert fit.mixup(x, targets, 0, [1, 2]) == (x, targets)


def test_mask_is_one_run_of_zeros_up_to_the_widest():
    mask = fit.band_mask(2000, 30, 5, [1, 2]).numpy()
    zeros = (mask == 0).sum(axis=1)
    assert set(zeros) == {0, 1, 2, 3, 4, 5}
    starts = (np.diff(mask, axis=1, prepend=1) == -1).sum(axis=1)
    assert ((starts == 1) == (zeros > 0)).all()
    assert (mask.mean(axis=0) < 1).all()                                    # every position is masked at times


def test_smoothing_spreads_a_share():
    targets = fit.smooth(np.array([2]), 0.1, CLASSES)
    assert targets[0, 2] == pytest.approx(0.9 + 0.1 / 8) and targets[0, 0] == pytest.approx(0.1 / 8)
    assert targets.sum() == pytest.approx(1)
