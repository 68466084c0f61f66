"""What a run was made with: versions of packages, and the machine."""
import importlib.metadata
import platform
from pathlib import Path

from ser.processor import is_pinned

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "librosa", "soundfile", "soxr",
            "python-stretch", "pandas", "joblib", "numba")


def environment():
    """{package or fact: version or value}: the content of a run's environment.json."""
    import joblib
    return dict({name: importlib.metadata.version(name) for name in PACKAGES}, python=platform.python_version(),
                system=platform.platform(), processor=processor_name(), pinned=is_pinned(), cores=joblib.cpu_count())


def processor_name():
    """The processor's name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] \
        if cpuinfo.exists() else []
    return names[0] if names else platform.processor()


def one_job_on_gpu():
    """1 where there is a GPU, which runs one fit at a time; else None."""
    return 1 if Path("/dev/nvidia0").exists() else None
