"""The four networks: features in, class probabilities out. Builders only: they neither compile nor read files.

A sequence network takes (batch, frames, n), normalised. Clips differ in length: an added frame is exactly
zero in every column, a real one never is, and that is how a network tells them apart. Added frames are zeroed
again after every layer that could fill them, skipped by the recurrence and left out of every pool, so a
prediction does not depend on the amount of padding. `mlp` takes the functionals of a clip, (batch, 13 n).
All return probabilities (batch, classes).

Only Keras's backend-neutral API (keras.layers, keras.ops): they run on TensorFlow, JAX and torch, and a saved
network loads without this file.
"""
from keras import Input, Model, layers, ops

CNN1D_STAGES = (48, 64, 80, 96)         # channels; each stage after the first sees half the frames of the one before
HYBRID_STAGES = (48, 64)                # the same, before the recurrence
BILSTM_UNITS = (64, 48)                 # of each direction, layer by layer
HYBRID_UNITS = 64
BILSTM_STRIDE = 5                       # frames (116 ms) that become one step of the recurrence
MLP_UNITS = (256, 128)
BLOCK_DROPOUT, RECURRENT_DROPOUT, HEAD_DROPOUT, MLP_DROPOUT = 0.1, 0.2, 0.3, 0.4
NORM_MOMENTUM = 0.95                    # of the running statistics: settles within an epoch
VERY_LOW = -1e3                         # in place of added frames under a maximum; activations are of order 1


def cnn1d(input_shape, classes):
    """Residual CNN over ever coarser time; every stage is read out, so each time scale has its say."""
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, real = stem(frames, CNN1D_STAGES[0], kernel=5, stride=2)             # (batch, frames/2, channels)
    readouts = []
    for stage, channels in enumerate(CNN1D_STAGES, start=1):
        if stage > 1:
            x, real = halve(x), halve(real)                                 # (batch, frames/2^stage, channels)
        x = gated_residual(x, real, channels, f"stage{stage}")
        readouts += pools(x, real)
    return Model(frames, classifier(readouts, classes), name="cnn1d")


def bilstm(input_shape, classes):
    """Two bidirectional LSTM layers over stacked frames, both read out."""
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, real = stem(frames, 96, kernel=BILSTM_STRIDE, stride=BILSTM_STRIDE)  # (batch, frames/5, 96)
    readouts = []
    for layer, units in enumerate(BILSTM_UNITS, start=1):
        x = layers.Dropout(RECURRENT_DROPOUT)(x)
        x = recurrent(x, real, units, f"bilstm{layer}")                     # (batch, frames/5, 2 units)
        readouts += pools(x, real)
    return Model(frames, classifier(readouts, classes), name="bilstm")


def hybrid(input_shape, classes):
    """A convolutional front end as in `cnn1d`, then a bidirectional LSTM over what it found."""
    frames = Input(input_shape, name="frames")                              # (batch, frames, n)
    x, real = stem(frames, HYBRID_STAGES[0], kernel=5, stride=2)            # (batch, frames/2, channels)
    readouts = []
    for stage, channels in enumerate(HYBRID_STAGES, start=1):
        x = gated_residual(x, real, channels, f"stage{stage}")
        readouts += pools(x, real)
        x, real = halve(x), halve(real)                                     # at last (batch, frames/8, channels)
    x = layers.Dropout(RECURRENT_DROPOUT)(x)
    x = recurrent(x, real, HYBRID_UNITS, "bilstm")                          # (batch, frames/8, 2 units)
    readouts += pools(x, real)
    return Model(frames, classifier(readouts, classes), name="hybrid")


def mlp(input_shape, classes):
    """Dense layers over the functionals of a clip."""
    x = functionals = Input(input_shape, name="functionals")                # (batch, 13 n)
    x = layers.Dropout(MLP_DROPOUT / 2)(x)
    for number, units in enumerate(MLP_UNITS, start=1):
        x = layers.Dense(units, use_bias=False, name=f"dense{number}")(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=NORM_MOMENTUM)(x))
        x = layers.Dropout(MLP_DROPOUT)(x)
    return Model(functionals, layers.Dense(classes, activation="softmax", name="emotion")(x), name="mlp")


BUILDERS = {"cnn1d": cnn1d, "bilstm": bilstm, "hybrid": hybrid, "mlp": mlp}


# -- parts -----------------------------------------------------------------------------------------
def stem(frames, channels, kernel, stride):
    """First convolution: (batch, frames, n) -> (batch, frames/stride, channels), and which of these are real.

    real : (batch, frames/stride, 1), 1 where at least one frame below is real, else 0
    """
    steps = -(-frames.shape[1] // stride)
    # Padding is written out: "same" would shift the windows with the number of added frames.
    real = ops.cast(ops.any(ops.not_equal(frames, 0.0), axis=-1, keepdims=True), "float32")
    real = layers.ZeroPadding1D((0, steps * stride - frames.shape[1]))(real)
    real = layers.MaxPooling1D(stride, stride)(real)
    left = (kernel - stride) // 2
    right = (steps - 1) * stride + kernel - frames.shape[1] - left
    x = layers.ZeroPadding1D((left, right))(frames)
    x = layers.Conv1D(channels, kernel, strides=stride, use_bias=False, name="stem")(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=NORM_MOMENTUM)(x)) * real, real


def gated_residual(x, real, channels, name):
    """x + x * tanh(two convolutions): a residual block that turns what it is given up or down, (0 .. 2) times.

    (batch, frames, any) -> (batch, frames, channels); a projection comes first where the channels change. The
    gate in place of a plain addition is TIM-Net's idea (Ye et al., "Temporal modeling matters", 2023).
    """
    if x.shape[-1] != channels:
        x = layers.Conv1D(channels, 1, activation="relu", name=f"{name}_project")(x) * real
    gate = x
    for number in (1, 2):
        gate = layers.Conv1D(channels, 3, padding="same", use_bias=False, name=f"{name}_conv{number}")(gate)
        gate = layers.BatchNormalization(momentum=NORM_MOMENTUM)(gate)
        if number == 1:
            gate = layers.SpatialDropout1D(BLOCK_DROPOUT)(layers.Activation("relu")(gate) * real)
    return x + x * ops.tanh(gate)


def recurrent(x, real, units, name):
    """Bidirectional LSTM over the real steps: (batch, steps, n) -> (batch, steps, 2 units), 0 where not real."""
    lstm = layers.Bidirectional(layers.LSTM(units, return_sequences=True), name=name)
    return lstm(x, mask=ops.squeeze(real, -1) > 0) * real


def halve(x):
    """Maximum of neighbouring frames: (batch, frames, n) -> (batch, ceil(frames / 2), n)."""
    return layers.MaxPooling1D(2, 2, padding="same")(x)


def pools(x, real):
    """Mean and maximum over the real frames of x, which is 0 elsewhere: -> two of (batch, channels)."""
    mean = ops.sum(x, axis=1) / ops.maximum(ops.sum(real, axis=1), 1.0)
    return [mean, ops.max(x + (1.0 - real) * VERY_LOW, axis=1)]


def classifier(readouts, classes):
    """The pools of all stages side by side, dropout, softmax: -> (batch, classes)."""
    x = layers.Dropout(HEAD_DROPOUT)(layers.Concatenate(name="readout")(readouts))
    return layers.Dense(classes, activation="softmax", name="emotion")(x)
