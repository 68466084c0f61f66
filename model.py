"""The four networks: features in, class probabilities out. Builders only: they neither compile nor read files.

A sequence network takes (batch, frames, n), standardised. Clips differ in length: an added frame is exactly
zero in every column, a real one never is, and that is how a network tells them apart. Added frames are zeroed
again after every layer that could fill them, skipped by the recurrence and left out of every pool, so a
prediction does not depend on the amount of padding. `mlp` takes the functionals of a clip, (batch, 13 n).
All return probabilities (batch, classes).

Only Keras's backend-neutral API (keras.layers, keras.ops): they run on TensorFlow, JAX and torch, and a saved
network loads without this file.
"""
from keras import Input, Model, layers, ops

CHANNELS = 64                           # of the convolutions; more are slower in proportion to the square
# Dilations of the blocks, in steps, which are 46 ms at first and twice as long after each group.
CNN1D_DILATIONS = ((1, 2), (2, 4), (4, 8))      # the last block sees the whole clip
HYBRID_DILATIONS = ((1, 2), (2, 4))
HYBRID_UNITS = 48                       # of each direction
BILSTM_UNITS = (48, 48, 48)             # of each direction, layer by layer; half the steps from layer to layer
BILSTM_CHANNELS = 96                    # of its first convolution
BILSTM_STRIDE = 3                       # frames (70 ms) that become one step of the first layer
MLP_UNITS = (256, 128)
BLOCK_DROPOUT, MLP_DROPOUT = 0.1, 0.4
BILSTM_INPUT_DROPOUT, HYBRID_INPUT_DROPOUT = 0.3, 0.4                           # before each LSTM layer
CNN1D_HEAD_DROPOUT, BILSTM_HEAD_DROPOUT, HYBRID_HEAD_DROPOUT = 0.5, 0.4, 0.5    # before the softmax
NORM_MOMENTUM = 0.95                    # of the running statistics: settles within an epoch


def cnn1d(input_shape, classes):
    """CNN of gated residual blocks, each twice as wide in time as the one before, every one read out."""
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, mask = stem(frames, CHANNELS, kernel=5, stride=2)                    # (batch, frames/2, CHANNELS)
    _, _, readouts = gated_stack(x, mask, CNN1D_DILATIONS)
    return Model(frames, classification_head(readouts, classes, CNN1D_HEAD_DROPOUT), name="cnn1d")


def bilstm(input_shape, classes):
    """Bidirectional LSTM layers, each with half the steps of the one before, every one read out.

    Such a pyramid: Chan et al., "Listen, attend and spell", 2016.
    """
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, mask = stem(frames, BILSTM_CHANNELS, kernel=5, stride=BILSTM_STRIDE)  # (batch, frames/3, 96)
    readouts = []
    for layer, units in enumerate(BILSTM_UNITS, start=1):
        if layer > 1:
            x, mask = max_pool_half(x), max_pool_half(mask)
        x = layers.Dropout(BILSTM_INPUT_DROPOUT)(x)
        x = masked_bilstm(x, mask, units, f"bilstm{layer}")                     # (batch, steps, 2 units)
        readouts.append(masked_mean(x, mask))
    return Model(frames, classification_head(readouts, classes, BILSTM_HEAD_DROPOUT), name="bilstm")


def hybrid(input_shape, classes):
    """Gated residual blocks as in `cnn1d`, then a bidirectional LSTM over what they found."""
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, mask = stem(frames, CHANNELS, kernel=5, stride=2)                    # (batch, frames/2, CHANNELS)
    x, mask, readouts = gated_stack(x, mask, HYBRID_DILATIONS)
    x, mask = max_pool_half(x), max_pool_half(mask)                     # (batch, frames/8, CHANNELS)
    x = layers.Dropout(HYBRID_INPUT_DROPOUT)(x)
    x = masked_bilstm(x, mask, HYBRID_UNITS, "bilstm")                          # (batch, frames/8, 2 units)
    readouts.append(masked_mean(x, mask))
    return Model(frames, classification_head(readouts, classes, HYBRID_HEAD_DROPOUT), name="hybrid")


def mlp(input_shape, classes):
    """Dense layers over the functionals of a clip."""
    x = functionals = Input(input_shape, name="functionals")                # (batch, 13 n)
    x = layers.Dropout(MLP_DROPOUT / 2)(x)
    for number, units in enumerate(MLP_UNITS, start=1):
        x = layers.Dense(units, use_bias=False, name=f"dense{number}")(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=NORM_MOMENTUM)(x))
        x = layers.Dropout(MLP_DROPOUT)(x)
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
    """First convolution: (batch, frames, n) -> (batch, frames/stride, channels), and which of these are real.

    mask : (batch, frames/stride, 1), 1 where at least one frame below is real, else 0
    """
    steps = -(-frames.shape[1] // stride)
    # Padding is written out: "same" would shift the windows with the number of added frames.
    mask = ops.cast(ops.any(ops.not_equal(frames, 0.0), axis=-1, keepdims=True), "float32")
    mask = layers.ZeroPadding1D((0, steps * stride - frames.shape[1]))(mask)
    mask = layers.MaxPooling1D(stride, stride)(mask)
    left = (kernel - stride) // 2
    right = (steps - 1) * stride + kernel - frames.shape[1] - left
    x = layers.ZeroPadding1D((left, right))(frames)
    x = layers.Conv1D(channels, kernel, strides=stride, use_bias=False, name="stem")(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=NORM_MOMENTUM)(x)) * mask, mask


def gated_stack(x, mask, dilations):
    """Groups of gated residual blocks, half the steps from group to group: -> x, mask, [mean of each block]."""
    readouts = []
    for stage, group in enumerate(dilations, start=1):
        if stage > 1:
            x, mask = max_pool_half(x), max_pool_half(mask)
        for dilation in group:
            x = gated_block(x, mask, dilation, f"stage{stage}_block{dilation}")
            readouts.append(masked_mean(x, mask))
    return x, mask, readouts


def gated_block(x, mask, dilation, name):
    """x * sigmoid(two convolutions): a residual block that lets through, or not, what it is given.

    (batch, steps, channels) -> the same shape. The kernels see every `dilation`-th step. The gate in place of a
    plain addition is TIM-Net's idea (Ye et al., "Temporal modeling matters", 2023).
    """
    channels, steps = x.shape[-1], x.shape[1]
    gate, mask = interleave(x, dilation), interleave(mask, dilation)    # (batch, rows, dilation, channels or 1)
    for number in (1, 2):
        gate = layers.Conv2D(channels, (3, 1), padding="same", use_bias=False, name=f"{name}_conv{number}")(gate)
        gate = layers.BatchNormalization(momentum=NORM_MOMENTUM)(gate)
        if number == 1:
            gate = layers.SpatialDropout2D(BLOCK_DROPOUT)(layers.Activation("relu")(gate) * mask)
    gate = ops.reshape(gate, (-1, gate.shape[1] * dilation, channels))[:, :steps]
    return x * ops.sigmoid(gate)


def interleave(x, dilation):
    """(batch, steps, n) -> (batch, rows, dilation, n), filled up with zeros at the end.

    A convolution down the columns is then a dilated one over the steps, at twice the speed of TensorFlow's own.
    """
    rows = -(-x.shape[1] // dilation)
    x = layers.ZeroPadding1D((0, rows * dilation - x.shape[1]))(x)
    return ops.reshape(x, (-1, rows, dilation, x.shape[-1]))


def masked_bilstm(x, mask, units, name):
    """Bidirectional LSTM over the real steps: (batch, steps, n) -> (batch, steps, 2 units), 0 where not real."""
    lstm = layers.Bidirectional(layers.LSTM(units, return_sequences=True), name=name)
    return lstm(x, mask=ops.squeeze(mask, -1) > 0) * mask


def max_pool_half(x):
    """Maximum of neighbouring frames: (batch, frames, n) -> (batch, ceil(frames / 2), n)."""
    return layers.MaxPooling1D(2, 2, padding="same")(x)


def masked_mean(x, mask):
    """Mean over the real steps of x, which is 0 elsewhere: (batch, steps, channels) -> (batch, channels)."""
    return ops.sum(x, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0)


def classification_head(readouts, classes, dropout):
    """The means of all layers side by side, dropout, softmax: -> (batch, classes)."""
    x = layers.Dropout(dropout)(layers.Concatenate(name="readout")(readouts))
    return layers.Dense(classes, activation="softmax", name="emotion")(x)
