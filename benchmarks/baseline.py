"""The conventional implementation (baseline): our recipe as most public repositories write it, to be timed beside ours.

One clip after another with librosa; each feature from the waveform, with a transform of its own; augmented copies with
librosa.effects, made anew for every fit; functionals with scipy, column by column; networks of the common size; Keras
`fit` on arrays with batches of 32 and default settings, one fit after another on all cores.
"""
import librosa
import numpy as np
import scipy.fft
import scipy.stats

import config
from study.backend import keras

Input, Model, layers = keras.Input, keras.Model, keras.layers
SR, N_FFT, HOP = config.SAMPLE_RATE, config.N_FFT, config.HOP_LENGTH
BATCH_SIZE = 32
EPOCHS = dict(cnn1d=65, bilstm=66, hybrid=65, mlp=63)       # until early stopping, mean of reference/described


# -- clips -----------------------------------------------------------------------------------------
def load(path):
    """A file -> float32 (samples,) at SR Hz, trimmed."""
    y, _ = librosa.load(path, sr=SR)
    return librosa.effects.trim(y, top_db=config.TRIM_DB)[0]


def augment(y, rng):
    """One augmented copy: stretch, pitch shift, noise, each with probability 1/2: (samples,) -> (samples / rate,)."""
    if rng.random() < 0.5:
        y = librosa.effects.time_stretch(y, rate=rng.uniform(*config.STRETCH_RATE))
    if rng.random() < 0.5:
        y = librosa.effects.pitch_shift(y, sr=SR, n_steps=rng.uniform(*config.PITCH_SEMITONES))
    if rng.random() < 0.5:
        y = y + 0.005 * np.abs(y).max() * rng.standard_normal(len(y))
    return y


# -- features: (samples,) -> (frames, n) -----------------------------------------------------------
def mfcc(y):
    return librosa.feature.mfcc(y=y, sr=SR, n_mfcc=config.N_MFCC, n_fft=N_FFT, hop_length=HOP).T


def mel(y):
    power = librosa.feature.melspectrogram(y=y, sr=SR, n_fft=N_FFT, hop_length=HOP, n_mels=config.N_MELS)
    return librosa.power_to_db(power, ref=np.max).T


def gauss(y):
    power = np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP))**2                     # (bins, frames)
    centres = librosa.mel_frequencies(config.N_GAUSS + 2, fmin=0, fmax=SR / 2)
    frequency = librosa.fft_frequencies(sr=SR, n_fft=N_FFT)
    filters = np.stack([np.exp(-0.5 * ((frequency - centre) / ((following - centre) / 2 + 1e-9))**2)
                        for centre, following in zip(centres[1:-1], centres[2:])])
    return scipy.fft.dct(librosa.power_to_db(filters @ power), axis=0, norm="ortho")[:config.N_GAUSS_COEFFICIENTS].T


FEATURES = {"mfcc": mfcc, "mel": mel, "gauss": gauss}


def functionals(x):
    """(frames, n) -> (13 n,): the thirteen statistics of the first column, then of the second, and so on."""
    values = []
    for column in x.T:
        values += [column.mean(), column.std(), column.max(), column.min(), np.median(column),
                   scipy.stats.skew(column), scipy.stats.kurtosis(column), np.percentile(column, 10),
                   np.percentile(column, 25), np.percentile(column, 75), np.percentile(column, 90),
                   np.ptp(column), scipy.stats.iqr(column)]
    return np.array(values)


# -- networks: (batch, frames, n), or (batch, 13 n) for mlp -> (batch, classes) ----------------------
def cnn1d(input_shape, classes):
    x = inputs = Input(input_shape)
    for channels in (64, 128, 256):
        shortcut = layers.Conv1D(channels, 1)(x)
        for _ in range(2):
            x = layers.Conv1D(channels, 3, padding="same")(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.Dropout(0.3)(layers.MaxPooling1D(2)(layers.Add()([x, shortcut])))
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    return classification_head(inputs, x, classes)


def bilstm(input_shape, classes):
    x = inputs = Input(input_shape)
    x = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(64))(layers.Dropout(0.3)(x))
    return classification_head(inputs, x, classes)


def hybrid(input_shape, classes):
    x = inputs = Input(input_shape)
    for channels in (64, 128):
        x = layers.Conv1D(channels, 3, padding="same")(x)
        x = layers.MaxPooling1D(2)(layers.Activation("relu")(layers.BatchNormalization()(x)))
    return classification_head(inputs, layers.Bidirectional(layers.LSTM(128))(layers.Dropout(0.3)(x)), classes)


def mlp(input_shape, classes):
    x = inputs = Input(input_shape)
    for units in (512, 256):
        x = layers.Dropout(0.4)(layers.BatchNormalization()(layers.Dense(units, activation="relu")(x)))
    return classification_head(inputs, x, classes)


def classification_head(inputs, x, classes):
    x = layers.Dropout(0.4)(layers.Dense(128, activation="relu")(x))
    return Model(inputs, layers.Dense(classes, activation="softmax")(x))


BUILDERS = {"cnn1d": cnn1d, "bilstm": bilstm, "hybrid": hybrid, "mlp": mlp}
