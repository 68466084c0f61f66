"""Whisper's encoder as Keras layers: log-mel frames in, the output of chosen blocks out.

    whisper(clip), whisper_frames(clip)                     rows of features.FEATURES
    encoder = load_encoder(path, blocks=(1, 2, 3, 4))       weights from a safetensors file
    encoder(log_mel(y, 80)[None]) -> [(1, steps, width), ...], a block each

Radford et al., "Robust speech recognition via large-scale weak supervision", 2023; names of layers and weights as in
the public checkpoints (openai/whisper-base). Trained on 680,000 hours of speech of the web to write down what is said;
its middle blocks also hold how it is said. The encoder is frozen: nothing of it is trained here.

Clips of any length up to 30 s, 50 steps a second, without padding to 30 s: positions are cut. In a batch, frames added
to the shorter clips are exactly 0 in every column, and change nothing of the rest.
"""
import contextlib
import functools
import weakref

import librosa
import numpy as np

from study.backend import keras, tf, use_one_thread
from study.encoder_weights import checked_weights, read_shape, read_weights

layers, ops = keras.layers, keras.ops
EPSILON = 1e-5                      # of the layer normalisations
SAMPLE_RATE, N_FFT, HOP = 16_000, 400, 160      # Hz, samples, samples
MAX_SECONDS = 30                    # of sound, for which there are positions


# -- features --------------------------------------------------------------------------------------
def whisper(clip):
    """The output of the chosen blocks side by side, 50 steps a second: float32 (steps, blocks x width).

    raises : UserError where the weights are not to be had
    """
    chosen = clip.params["encoder"]["blocks"]
    return np.concatenate([block_outputs(clip)[number] for number in chosen], axis=1)


def whisper_frames(clip):
    """The output of one block, the mean of two steps each, 25 frames a second: float32 (frames, width).

    raises : UserError where the weights are not to be had
    """
    steps = block_outputs(clip)[clip.params["encoder"]["frames_block"]]
    steps = np.concatenate([steps, steps[-1:]])[:len(steps) + len(steps) % 2]           # an even number
    return steps.reshape(-1, 2, steps.shape[1]).mean(axis=1)


OUTPUTS = weakref.WeakKeyDictionary()       # of `block_outputs`, as long as the clip is there


def block_outputs(clip):
    """{number of a block: float32 (steps, width)} of a features.Clip; both features of a clip share a pass."""
    if clip not in OUTPUTS:
        OUTPUTS[clip] = encode(clip)
    return OUTPUTS[clip]


def encode(clip):
    """See `block_outputs`."""
    import soxr
    params = clip.params["encoder"]
    blocks = tuple(sorted({*params["blocks"], params["frames_block"]}))
    encoder, n_mels = shared_encoder(params["checkpoint"], params["sha256"], blocks)
    y = clip.y if clip.params["sr"] == SAMPLE_RATE else soxr.resample(clip.y, clip.params["sr"], SAMPLE_RATE, "HQ")
    start = max(0, len(y) - MAX_SECONDS * SAMPLE_RATE) // 2
    frames = log_mel(y[start:start + MAX_SECONDS * SAMPLE_RATE], n_mels)
    return {number: output[0].numpy() for number, output in zip(blocks, encoder(frames[None]), strict=True)}


def log_mel(y, n_mels):
    """What the encoder was trained on: (samples,) at 16 kHz -> float32 (frames, n_mels), 100 frames a second.

    Logarithm to base 10 of the power in Slaney's mel bands, at most 8 (80 dB) below the clip's largest, then scaled to
    about -1 .. 1, as in OpenAI's whisper/audio.py.
    """
    spectrum = librosa.stft(np.asarray(y, np.float32), n_fft=N_FFT, hop_length=HOP, window="hann", center=True,
                            pad_mode="reflect")[:, :-1]
    power = mel_filters(n_mels) @ (spectrum.real**2 + spectrum.imag**2)
    level = np.log10(np.maximum(power, 1e-10))
    return np.float32((np.maximum(level, level.max() - 8) + 4) / 4).T


@functools.cache
def mel_filters(n_mels):
    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=n_mels)


@functools.lru_cache(maxsize=2)
def shared_encoder(checkpoint, sha256, blocks):
    """The compiled encoder of this process, (1, frames, n_mels) -> the blocks' outputs, and its n_mels.

    raises : UserError, also for other weights than those with this fingerprint
    """
    with contextlib.suppress(RuntimeError):     # TensorFlow has begun, with a network that predicts: threads stay
        use_one_thread()
    encoder = load_encoder(checked_weights(checkpoint, sha256), blocks)
    n_mels = encoder.input_shape[-1]
    return tf.function(lambda x: keras.tree.flatten(encoder(x, training=False)), autograph=False,
                       input_signature=[tf.TensorSpec((1, None, n_mels))]), n_mels


# -- network ---------------------------------------------------------------------------------------
def build_encoder(shape, blocks):
    """A Keras model: (batch, frames, n_mels) -> [(batch, steps, width) of each of these blocks, 0 where not real].

    blocks : in rising order; 0 is what enters the first block, shape.n_blocks the last, normalised as the decoder
             gets it
    steps = ceil(frames / 2)
    """
    frames = keras.Input((None, shape.n_mels), name="frames")
    real = ops.cast(ops.any(ops.not_equal(frames, 0.0), axis=-1, keepdims=True), "float32")         # (batch, frames, 1)
    x = layers.Conv1D(shape.width, 3, padding="same", activation=gelu, name="conv1")(frames) * real
    x = layers.Conv1D(shape.width, 3, strides=2, activation=gelu, name="conv2")(layers.ZeroPadding1D(1)(x))
    real = layers.MaxPooling1D(2, 2)(layers.ZeroPadding1D((0, 1))(real))                            # (batch, steps, 1)
    x = Positions(shape.positions, name="embed_positions")(x)
    outputs = {0: x}
    for number in range(max(blocks)):
        outputs[number + 1] = x = block(x, real, shape, f"layers.{number}")
    if shape.n_blocks in outputs:
        outputs[shape.n_blocks] = layers.LayerNormalization(epsilon=EPSILON, name="layer_norm")(x)
    return keras.Model(frames, [outputs[number] * real for number in blocks], name="whisper_encoder")


def block(x, real, shape, name):
    """Self-attention, then two dense layers, each on its normalised input and added to it: a pre-norm transformer
    block, (batch, steps, width) -> the same shape."""
    normalised = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}.self_attn_layer_norm")(x)
    attention = layers.MultiHeadAttention(shape.heads, shape.width // shape.heads, name=f"{name}.self_attn")
    x = x + attention(normalised, normalised, attention_mask=ops.transpose(real, (0, 2, 1)) > 0)
    normalised = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}.final_layer_norm")(x)
    hidden = layers.Dense(shape.inner, activation=gelu, name=f"{name}.fc1")(normalised)
    return x + layers.Dense(shape.width, name=f"{name}.fc2")(hidden)


class Positions(layers.Layer):
    """Adds a learned vector for each step: (batch, steps, width) -> the same shape, up to `most` steps."""

    def __init__(self, most, **kwargs):
        super().__init__(**kwargs)
        self.most = most

    def build(self, input_shape):
        self.embeddings = self.add_weight(shape=(self.most, input_shape[-1]), name="embeddings")

    def call(self, x):
        return x + self.embeddings[:ops.shape(x)[1]]


def gelu(x):
    return keras.activations.gelu(x, approximate=False)


# -- weights ---------------------------------------------------------------------------------------
def load_encoder(path, blocks):
    """The encoder with the weights of a safetensors file. raises : UserError for other weights"""
    encoder, weights = build_encoder(read_shape(path), blocks), read_weights(path)
    for layer in encoder.layers:
        if layer.weights:
            layer.set_weights(layer_weights(layer, weights))
    return encoder


def layer_weights(layer, weights):
    """The values of a layer's variables, in Keras's order and orientation: [array, ...]"""
    def dense(name):
        kernel = weights[f"{name}.weight"].T
        return kernel, weights.get(f"{name}.bias", np.zeros(kernel.shape[-1], np.float32))     # the key has no bias

    name = layer.name
    if isinstance(layer, Positions):
        return [weights[f"{name}.weight"]]
    if isinstance(layer, layers.Conv1D):
        return [weights[f"{name}.weight"].transpose(2, 1, 0), weights[f"{name}.bias"]]
    if isinstance(layer, layers.LayerNormalization):
        return [weights[f"{name}.weight"], weights[f"{name}.bias"]]
    if isinstance(layer, layers.Dense):
        return [*dense(name)]
    parts = [dense(f"{name}.{part}") for part in ("q_proj", "k_proj", "v_proj", "out_proj")]
    return [array.reshape(variable.shape) for array, variable in zip(
        [array for part in parts for array in part], layer.weights, strict=True)]
