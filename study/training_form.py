"""The same network in a form that trains faster: the same layers, the same variables, other arithmetic.

    fast = training_form(network, "bfloat16")       train it; then copy its variables back

Batch normalisation runs in TensorFlow's fused kernel, in place of a dozen passes over the batch: the same numbers but
for rounding. Convolutions may multiply in bfloat16, with sums and weights in float32: twice as fast on processors that
have it (ser/processor.py), with numbers that agree to two or three digits.
"""
from study.backend import keras, tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """BatchNormalization over the last axis of (batch, n) or (batch, steps, n), in training by one fused kernel."""

    def call(self, inputs, training=None, mask=None):
        if not training:
            return super().call(inputs, training=training, mask=mask)
        x = tf.cast(inputs, tf.float32)
        images = tf.expand_dims(x, 1) if len(x.shape) == 3 else tf.reshape(x, (-1, 1, 1, x.shape[-1]))
        y, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(images, self.gamma, self.beta, epsilon=self.epsilon,
                                                             is_training=True)
        count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        variance = unbiased * (count - 1) / count                   # of the population, as Keras keeps it
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return tf.squeeze(y, 1) if len(x.shape) == 3 else tf.reshape(y, tf.shape(x))


def training_form(network, precision):
    """A new network of the same layers and variables, in the same order; their values are not copied.

    precision : of convolutions, "float32" or "bfloat16"
    """
    def convert(layer):
        config = layer.get_config()
        if type(layer) is keras.layers.BatchNormalization and (config["axis"], config["scale"], config["center"]) == (
                -1, True, True):
            return FusedBatchNormalization.from_config(config)
        if type(layer) is keras.layers.Conv1D and precision == "bfloat16":
            config["dtype"] = "mixed_bfloat16"
        return type(layer).from_config(config)

    return keras.models.clone_model(network, clone_function=convert)
