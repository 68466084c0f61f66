"""The four networks: features in, class probabilities out. Builders only: they neither compile nor read files.

A sequence network takes (batch, frames, n), standardised; with `frames` None it takes any number of them. Clips differ
in length: an added frame is exactly zero in every column, a real one never is, and that is how a network tells them
apart. Added frames are zeroed again after every layer that could fill them, skipped by the recurrence and left out of
every pool, so a prediction does not depend on the amount of padding. `mlp` takes the functionals of a clip,
(batch, 13 n). All return probabilities (batch, classes). Each docstring opens with the network in one sentence, as it
is usually described.

Only Keras's backend-neutral API (keras.layers, keras.ops): they run on TensorFlow, JAX and torch, and a saved
network loads without this file.
"""
from keras import Input, Model, layers, ops

CHANNELS = 64                           # of the convolutions; more are slower in proportion to the square
# Dilations of the residual blocks, in steps, which are 46 ms at first and twice as long after each group.
CNN1D_DILATIONS = ((1, 2), (2, 4), (4, 8))      # the last block sees the whole clip
HYBRID_DILATIONS = ((1, 2), (2, 4))
HYBRID_UNITS = 48                       # of each direction
BILSTM_UNITS = (64, 64)                 # of each direction, layer by layer; half the steps from layer to layer
BILSTM_CHANNELS = 96                    # of its first convolution
BILSTM_STRIDE = 3                       # frames (70 ms) that become one step of the first layer
CNN1D_DENSE, BILSTM_DENSE, HYBRID_DENSE = 128, 64, 64       # units of the hidden Dense layer before the softmax
MLP_UNITS = (512, 256)
BLOCK_DROPOUT = 0.1
BILSTM_INPUT_DROPOUT, HYBRID_INPUT_DROPOUT = 0.2, 0.4       # before each LSTM layer
CNN1D_DROPOUT, BILSTM_DROPOUT, HYBRID_DROPOUT = (0.5, 0.2), (0.4, 0.3), (0.5, 0.3)  # before and after the hidden Dense
MLP_DROPOUT = (0.4, 0.5)                # after each hidden layer
MLP_NOISE = 0.3                         # standard deviation of Gaussian noise on the inputs, in training
MLP_SQUASH = 3.0                        # inputs beyond this many standard deviations count little more
NORM_MOMENTUM = 0.95                    # of the running statistics: settles within an epoch


def cnn1d(input_shape, classes):
    """Input, Conv1D, residual blocks with a shortcut connection, global average and global max pooling, concatenated,
    Dense, softmax.

    Each block sees twice as far as the one before. The average is taken of every block, the maximum of the last.
    """
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, mask = stem(frames, CHANNELS, kernel=5, stride=2)                    # (batch, frames/2, CHANNELS)
    x, mask, averages = residual_stack(x, mask, CNN1D_DILATIONS)            # (batch, frames/8, CHANNELS)
    # No batch normalisation of these: with it the validation loss is higher on every feature (EXPERIMENTS.md).
    x = layers.Dropout(CNN1D_DROPOUT[0])(layers.Concatenate(name="readout")([*averages, global_max(x, mask)]))
    x = layers.Dropout(CNN1D_DROPOUT[1])(layers.Dense(CNN1D_DENSE, activation="relu", name="dense")(x))
    return Model(frames, layers.Dense(classes, activation="softmax", name="emotion")(x), name="cnn1d")


def bilstm(input_shape, classes):
    """Two bidirectional LSTM layers, then Dense layers.

    A strided convolution before them makes one step of BILSTM_STRIDE frames; the second layer has half the steps of
    the first (Chan et al., "Listen, attend and spell", 2016). The average is taken of all three, the maximum of the
    last.
    """
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, mask = stem(frames, BILSTM_CHANNELS, kernel=5, stride=BILSTM_STRIDE)     # (batch, frames/3, BILSTM_CHANNELS)
    averages = [global_average(x, mask)]
    for layer, units in enumerate(BILSTM_UNITS, start=1):
        if layer > 1:
            x, mask = max_pool_half(x), max_pool_half(mask)
        x = masked_bilstm(layers.Dropout(BILSTM_INPUT_DROPOUT)(x), mask, units, f"bilstm{layer}")
        averages.append(global_average(x, mask))                            # (batch, 2 units)
    return Model(frames, dense_head([*averages, global_max(x, mask)], classes, BILSTM_DENSE, BILSTM_DROPOUT),
                 name="bilstm")


def hybrid(input_shape, classes):
    """CNN layers as feature extractor, their output into an LSTM.

    The first blocks of `cnn1d`, then one bidirectional LSTM layer.
    """
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, mask = stem(frames, CHANNELS, kernel=5, stride=2)                    # (batch, frames/2, CHANNELS)
    x, mask, averages = residual_stack(x, mask, HYBRID_DILATIONS)
    x, mask = max_pool_half(x), max_pool_half(mask)                         # (batch, frames/8, CHANNELS)
    x = masked_bilstm(layers.Dropout(HYBRID_INPUT_DROPOUT)(x), mask, HYBRID_UNITS, "bilstm")
    return Model(frames, dense_head([*averages, global_average(x, mask), global_max(x, mask)], classes, HYBRID_DENSE,
                                    HYBRID_DROPOUT), name="hybrid")


def mlp(input_shape, classes):
    """Dense layers on the 13 statistical functionals."""
    functionals = Input(input_shape, name="functionals")                    # (batch, 13 n)
    x = MLP_SQUASH * ops.tanh(functionals / MLP_SQUASH)                     # outliers would rule the sums
    x = layers.GaussianNoise(MLP_NOISE)(x)
    for number, (units, dropout) in enumerate(zip(MLP_UNITS, MLP_DROPOUT), start=1):
        x = layers.Dense(units, use_bias=False, name=f"dense{number}")(x)
        x = layers.Dropout(dropout)(layers.Activation("relu")(batch_norm(x)))
    return Model(functionals, layers.Dense(classes, activation="softmax", name="emotion")(x), name="mlp")


def average_ensemble(networks):
    """One network that returns the mean of the probabilities of `networks`, which take the same input."""
    if len(networks) == 1:
        return networks[0]
    for number, network in enumerate(networks, start=1):
        network.name = f"member{number}"
    x = Input(networks[0].input_shape[1:], name=networks[0].inputs[0].name)
    return Model(x, layers.Average(name="emotion")([network(x) for network in networks]), name="average")


# -- parts -----------------------------------------------------------------------------------------
def stem(frames, channels, kernel, stride):
    """First convolution: (batch, frames, n) -> (batch, steps, channels), and which steps are real.

    steps = ceil(frames / stride)
    mask  : (batch, steps, 1), 1 where at least one frame below is real, else 0
    """
    # Padding is written out: "same" would shift the windows with the number of added frames.
    mask = ops.cast(ops.any(ops.not_equal(frames, 0.0), axis=-1, keepdims=True), "float32")
    mask = layers.MaxPooling1D(stride, stride)(layers.ZeroPadding1D((0, stride - 1))(mask))
    left = (kernel - stride) // 2
    x = layers.ZeroPadding1D((left, kernel - 1 - left))(frames)
    x = layers.Conv1D(channels, kernel, strides=stride, use_bias=False, name="stem")(x)
    return layers.Activation("relu")(batch_norm(x)) * mask, mask


def residual_stack(x, mask, dilations):
    """Groups of residual blocks, half the steps from group to group: -> x, mask, [average of each block]."""
    averages = []
    for stage, group in enumerate(dilations, start=1):
        if stage > 1:
            x, mask = max_pool_half(x), max_pool_half(mask)
        for dilation in group:
            x = residual_block(x, mask, dilation, f"stage{stage}_block{dilation}")
            averages.append(global_average(x, mask))
    return x, mask, averages


def residual_block(x, mask, dilation, name):
    """x - x * sigmoid(two convolutions): a shortcut connection, and a branch that takes away what it closes.

    (batch, steps, channels) -> the same shape. The kernels see every `dilation`-th step. A gate in place of plain
    convolutions in the branch is TIM-Net's idea (Ye et al., "Temporal modeling matters", 2023).
    """
    gate = x
    for number in (1, 2):
        gate = layers.Conv1D(x.shape[-1], 3, padding="same", dilation_rate=dilation, use_bias=False,
                             name=f"{name}_conv{number}")(gate)
        gate = batch_norm(gate)
        if number == 1:
            gate = layers.SpatialDropout1D(BLOCK_DROPOUT)(layers.Activation("relu")(gate) * mask)
    return layers.Add(name=f"{name}_add")([x, -(x * ops.sigmoid(gate))])


def masked_bilstm(x, mask, units, name):
    """Bidirectional LSTM over the real steps: (batch, steps, n) -> (batch, steps, 2 units), 0 where not real."""
    lstm = layers.Bidirectional(layers.LSTM(units, return_sequences=True), name=name)
    return lstm(x, mask=ops.squeeze(mask, -1) > 0) * mask


def batch_norm(x):
    return layers.BatchNormalization(momentum=NORM_MOMENTUM)(x)


def max_pool_half(x):
    """Maximum of neighbouring steps: (batch, steps, n) -> (batch, ceil(steps / 2), n)."""
    return layers.MaxPooling1D(2, 2)(layers.ZeroPadding1D((0, 1))(x))       # "same" would not count the added zero


def global_average(x, mask):
    """Mean over the real steps of x, which is 0 elsewhere: (batch, steps, channels) -> (batch, channels)."""
    return ops.sum(x, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0)


def global_max(x, mask):
    """Maximum over the real steps of x: (batch, steps, channels) -> (batch, channels); 0 where there is none."""
    lowest = -1e9
    largest = ops.max(ops.where(mask > 0, x, lowest), axis=1)
    return ops.where(largest > lowest, largest, 0.0)


def dense_head(readouts, classes, units, dropout):
    """A hidden Dense layer beside the pools [(batch, channels), ...], both of which the softmax sees: -> (batch,
    classes)."""
    x = layers.Dropout(dropout[0])(layers.Concatenate(name="readout")(readouts))
    hidden = layers.Dropout(dropout[1])(layers.Dense(units, activation="relu", name="dense")(x))
    return layers.Dense(classes, activation="softmax", name="emotion")(layers.Concatenate(name="head")([x, hidden]))
