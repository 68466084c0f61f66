"""How networks are trained: their hyperparameters, from the settings. Loads no TensorFlow."""
from dataclasses import dataclass

from ser.errors import UserError
from ser.processor import has_bfloat16


@dataclass(frozen=True)
class Training:
    """Hyperparameters of a network; remarks on each stand in config.py."""
    builder: str                    # "module:name" of a function (input_shape, n_classes) -> Keras model
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    ema_decay: float
    mixup_alpha: float
    label_smoothing: float
    max_time_mask: int              # frames
    max_freq_mask: float            # share of the columns
    checkpoint: str                 # "last" or "best"
    early_stopping_patience: int    # epochs
    lr_schedule: str                # "cosine" or "plateau"
    plateau_patience: int           # epochs
    plateau_factor: float
    min_learning_rate: float
    optimizer: str = "muon"         # or "adamw": study/optimizer.py
    precision: str = "float32"      # of convolutions in training: "float32" or "bfloat16"


def training_params(row, settings, frame_seconds):
    """The Training of a row of config.MODELS, on a feature whose frames are so many seconds apart."""
    s = settings
    return Training(
        builder=row.builder, epochs=row.epochs, batch_size=row.batch_size, optimizer=row.optimizer,
        learning_rate=row.learning_rate,
        weight_decay=s.WEIGHT_DECAY, ema_decay=s.EMA_DECAY, mixup_alpha=s.MIXUP_ALPHA,
        label_smoothing=s.LABEL_SMOOTHING, max_time_mask=int(s.TIME_MASK_SECONDS / frame_seconds),
        max_freq_mask=s.FREQ_MASK_FRACTION, checkpoint=s.CHECKPOINT,
        early_stopping_patience=s.EARLY_STOPPING_PATIENCE, lr_schedule=s.LR_SCHEDULE,
        plateau_patience=s.PLATEAU_PATIENCE, plateau_factor=s.PLATEAU_FACTOR, min_learning_rate=s.MIN_LEARNING_RATE,
        precision=convolution_precision(s.PRECISION))


def convolution_precision(setting):
    """"float32" or "bfloat16", from the setting PRECISION; "auto" is bfloat16 where this processor multiplies in it.

    raises : UserError for bfloat16 on a processor without
    """
    if setting == "bfloat16" and not has_bfloat16():
        raise UserError('PRECISION = "bfloat16", and this processor does not multiply in it; take "float32"')
    return setting if setting != "auto" else "bfloat16" if has_bfloat16() else "float32"
