"""Our implementation beside the conventional one, measured on this machine.

    python benchmarks/run.py                writes benchmarks/RESULTS.md; 35 minutes on two cores
    python benchmarks/run.py --repeats 1    a round: 15 minutes; more than twice that on slow cores

The conventional implementation is baseline.py, the recipe as most public repositories write it. Its networks have the
common size; ours are also timed under the conventional `fit`, so that the table tells what the networks save from what
the loop saves. Clips are 24 of RAVDESS_DIR, else of the synthesised corpus of --demo; the arrays for training are
random, in the shape of one fold. The implementations take turns, `--repeats` times; a figure is the median, with the
lowest and highest. Each fit has a process of its own.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import config
from ser.settings import read_settings

MODELS = ("cnn1d", "bilstm", "hybrid", "mlp")       # the networks that baseline.py has as well


def run_job(name, *arguments):
    """One job of `side_by_side`, in this process -> dict of figures. Imports are part of what it measures."""
    settings = read_settings(config)
    if name == "prediction":
        from benchmarks import clips
        return clips.prediction_rate(settings, *arguments)
    from benchmarks import fits
    return {"ours": fits.fit_ours, "baseline": fits.fit_baseline}[name](settings, *arguments)


def side_by_side(*jobs):
    """Run jobs, (name, argument, ...), at the same time, a process each -> their figures (list of dicts).

    raises : RuntimeError with what a job printed, if it failed
    """
    running = [subprocess.Popen([sys.executable, __file__, "--job", json.dumps(job)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for job in jobs]
    outputs = [process.communicate() for process in running]
    for process, job, (_, problem) in zip(running, jobs, outputs):
        if process.returncode:
            raise RuntimeError(f"{' '.join(map(str, job))}: {problem}")
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def measure_clips(settings, repeats):
    """The figures of clips and of predictions, as report.results_page takes them."""
    from benchmarks import clips
    with tempfile.TemporaryDirectory() as folder:
        paths = list(clips.spread_clips(folder, clips.N_CLIPS, settings.CLASSES).path)
        clip = clips.time_work(clips.clip_work(paths, settings), len(paths), repeats)
        predictions = {name: [side_by_side(("prediction", name, paths))[0]["rate"] for _ in range(repeats)]
                       for name in ("ours", "baseline")}
    return clip, predictions


def measure_fits(cores, repeats):
    """The figures of fits, as report.results_page takes them: on MFCCs in every round, on mel in the first alone."""
    fits = {(model_name, feature): dict(ours=[], baseline=[], our_network=[]) for model_name in MODELS
            for feature in (("mfcc",) if config.MODELS[model_name].input == "functionals" else ("mfcc", "mel"))}
    for number in range(repeats):
        for (model_name, feature), measured in fits.items():
            if number and feature == "mel":
                continue                                            # once is enough for the sum
            print(f"round {number + 1} of {repeats}: {model_name} on {feature}", file=sys.stderr, flush=True)
            measured["ours"] += side_by_side(*[("ours", model_name, feature)] * cores)
            measured["baseline"] += side_by_side(("baseline", model_name, feature))
            if feature == "mfcc":
                measured["our_network"] += side_by_side(("baseline", model_name, feature, "ours"))
    return fits


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description="Time our implementation beside the conventional one; writes benchmarks/RESULTS.md.")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--job", help=argparse.SUPPRESS)            # of a process of its own
    return parser.parse_args(arguments)


def main(args):
    if args.job:
        print(json.dumps(run_job(*json.loads(args.job))))
        return
    import joblib

    from benchmarks import clips, report
    settings, cores = read_settings(config), joblib.cpu_count()
    peak = {threads: clips.gemm_peak(threads) for threads in (1, cores)}
    clip, predictions = measure_clips(settings, args.repeats)
    fits = measure_fits(cores, args.repeats)
    path = HERE / "RESULTS.md"
    path.write_text(report.results_page(clip, predictions, fits, peak, cores, args.repeats, settings))
    print(f"written: {path}")


if __name__ == "__main__":
    main(parse())
