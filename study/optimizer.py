"""The optimizers that networks are trained with, by their names in config.MODELS.

    "adamw"   every number of a weight by a step of its own: Loshchilov & Hutter, "Decoupled weight decay
              regularization", 2019
    "muon"    every matrix as a whole, with steps as long in all its directions: Jordan et al., "Muon: an optimizer for
              hidden layers in neural networks", 2024. It takes fewer epochs
"""
from math import prod

from study.backend import keras

LARGEST_MATRIX = 2**17      # numbers; one with more goes by AdamW: Muon would take longer than the rest of a step


class Muon(keras.optimizers.Muon):
    """Keras's Muon, for kernels of convolutions as well: each as a matrix (kernel size x channels, filters).

    Biases, batch normalisation and the output layer go by AdamW, as its authors propose.

    output_layer : its name
    """

    def __init__(self, output_layer, **kwargs):
        super().__init__(**kwargs)
        self.output_layer = output_layer

    def _should_use_adamw(self, variable):
        is_output = variable.path.split("/")[0] == self.output_layer
        return len(variable.shape) not in (2, 3) or prod(variable.shape) > LARGEST_MATRIX or is_output

    def zeropower_via_newtonschulz5(self, x, steps):
        return keras.ops.reshape(super().zeropower_via_newtonschulz5(as_matrix(x), steps), x.shape)

    def lr_adjust(self, x):
        return keras.ops.reshape(super().lr_adjust(as_matrix(x)), x.shape)


def as_matrix(kernel):
    return keras.ops.reshape(kernel, (-1, kernel.shape[-1]))


def make_optimizer(network, training):
    """A new optimizer for a network; it also keeps the running mean of the weights, if training.ema_decay > 0."""
    options = dict(weight_decay=training.weight_decay, use_ema=training.ema_decay > 0,
                   ema_momentum=training.ema_decay or None)
    if training.optimizer == "adamw":
        return keras.optimizers.AdamW(**options)
    return Muon(network.output_names[0], adam_weight_decay=training.weight_decay, **options)
