"""The same digits on different processors: numerical libraries kept from using what not every processor has.

The libraries choose their routines by the processor: with AVX-512 a sum has another order than with AVX2, so its last
digit differs, and training makes much of little. `pin` restarts the command with all of them held to AVX2, which every
x86-64 processor of the last decade has. What cannot be held: the sizes of the caches, by which a library may cut its
blocks, and processors of another architecture.
"""
import os
import platform
import sys
from pathlib import Path

PINNED = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",                       # TensorFlow's convolutions and matrix products
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",              # TensorFlow's compiled input pipeline
    "OPENBLAS_CORETYPE": "Haswell",                     # matrix products of NumPy and SciPy
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4",
    "NUMBA_CPU_NAME": "haswell",                        # the loop of ser/dtw.py
}


def has_bfloat16():
    """Whether this processor has instructions for products of bfloat16 numbers, and TensorFlow may use them.

    Asked of Linux; elsewhere False.
    """
    cpuinfo = Path("/proc/cpuinfo")
    if "ONEDNN_MAX_CPU_ISA" in os.environ:          # held to older instructions: by `pin`, or by the user
        return False
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else ()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def can_be_pinned():
    """Whether this is an x86-64 processor."""
    return platform.machine().lower() in ("x86_64", "amd64")


def is_pinned():
    """Whether this process was started with all of PINNED."""
    return all(os.environ.get(name) == value for name, value in PINNED.items())


def pin():
    """Start this command again with PINNED in its environment, unless it was; worker processes inherit it."""
    if is_pinned():
        return
    os.environ.update(PINNED)
    sys.stdout.flush()
    os.execv(sys.executable, sys.orig_argv)
