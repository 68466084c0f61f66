"""TensorFlow and Keras, loaded without their notices, on one thread: `from study.backend import keras, tf`."""
import ctypes
import os
import sys

from ser.switches import quiet_libraries

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3      # of mallopt(3)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_libraries:      # its own switches miss some notices
    import keras  # noqa: F401, handed on
    import tensorflow as tf
tf.get_logger().setLevel("ERROR")


def use_one_thread():
    """One thread for TensorFlow, so that as many fits as cores run side by side and sums keep their order.

    And memory that TensorFlow frees stays with the process: by default glibc hands every large array back to
    the system and has it zeroed again for the next step (a convolutional net: up to 1.4 times slower).
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):            # glibc only
        for parameter, value in ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**27)):
            libc.mallopt(parameter, value)
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:      # cannot be set twice in a process
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
