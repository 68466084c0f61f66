"""The cache of features: which of its entries no run uses any more, and their removal."""
import json
import shutil
import time
from pathlib import Path

from ser.folders import clear_drafts
from ser.terminal import plural

YOUNG_SECONDS = 3600            # an entry that was made since may be of a run that has not said so yet
CLEAR = "python data_preprocessing.py --clear-cache"


def unused_entries(cache_dir, runs_dir, used=()):
    """{path: bytes} of the features in a cache that no run in `runs_dir` was made with, nor names in `used`."""
    used = set(used)
    for path in Path(runs_dir).glob("*/config.json"):
        try:
            used.update(json.loads(path.read_text()).get("cache_entries", ()))
        except (OSError, ValueError, AttributeError):           # not a run, or one that its own command will name
            continue
    old = [path for path in sorted(Path(cache_dir).glob("features-*"))
           if path.name not in used and time.time() - path.stat().st_mtime > YOUNG_SECONDS]
    return {path: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in old}


def cache_report(cache_dir, runs_dir, used=()):
    """A line on the unused entries, with the command that removes them; "" where there are none."""
    entries = unused_entries(cache_dir, runs_dir, used)
    if not entries:
        return ""
    return f"cache {cache_dir}: {plural(len(entries), 'entry', 'entries')} that no run uses, "\
        f"{gigabytes(entries)}; {CLEAR} removes them"


def gigabytes(entries):
    return f"{sum(entries.values()) / 1e9:.1f} GB"


def clear_cache(cache_dir, runs_dir):
    """Remove the unused entries, and what killed processes left; a line on it (str)."""
    if Path(cache_dir).exists():
        clear_drafts(Path(cache_dir))
    entries = unused_entries(cache_dir, runs_dir)
    for path in entries:
        shutil.rmtree(path)
    return f"{cache_dir}: {plural(len(entries), 'entry', 'entries')} removed, {gigabytes(entries)}"
