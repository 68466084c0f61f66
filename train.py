"""The study: every feature, every model, every fold. Settings are in config.py.

    python train.py --data-dir RAVDESS      90 fits; stop it and run it again, finished fits are kept
    python train.py --data-dir my.csv       the same on clips of your own, see corpora.py
    python train.py --demo                  the same path on a small synthesised corpus, in two to three minutes

Reads the clips, writes results/<run>/ (layout in results.py). The test clips of a fold are predicted once,
after its training; what training decides (when to stop, learning rate, which weights) it decides on an
inner validation split. Choosing the epoch on the test fold instead makes RAVDESS look 2 to 9 points better.
"""
import argparse
import sys
from pathlib import Path

import config
from ser import corpora, demo_corpus, metrics, parallel, seeds, signals, splits
from ser.files import as_json, code_fingerprint, hash_json, write_csv, write_json
from study import final, runs, svm

# What a quick look and the demo change. They have run folders of their own.
QUICK = dict(EPOCHS={"cnn1d": 3, "bilstm": 3, "hybrid": 3, "mlp": 3})
DEMO = dict(FEATURES=("mfcc",), PROTOCOL="stratified", N_FOLDS=2, VALIDATION_FRACTION=0.2, ENSEMBLE_SIZE=2,
            EPOCHS={"cnn1d": 14, "bilstm": 10, "hybrid": 14, "mlp": 20},
            BATCH_SIZE={"cnn1d": 16, "bilstm": 16, "hybrid": 16, "mlp": 16})
DEMO_WARNING = "DEMO: synthesised clips, not speech. These are not real numbers; they show that everything runs."


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description="Train every model on every feature under cross-validation. Settings: config.py.")
    parser.add_argument("--data-dir", metavar="PLACE", help="folder with the clips of RAVDESS, EMO-DB, CREMA-D, SAVEE "
                        "or TESS, or a CSV of your own: path,emotion,speaker[,recording,split] (default: "
                        "$RAVDESS_DIR, else DATA_DIR in config.py, else the project root)")
    parser.add_argument("--train-on", metavar="PLACE", help="with --test-on: train on the clips of one place, test on "
                        "those of another, on the emotions that both have")
    parser.add_argument("--test-on", metavar="PLACE", help="see --train-on")
    parser.add_argument("--results-dir", metavar="DIR", default=config.RESULTS_DIR, type=Path,
                        help="folder for the runs (default: %(default)s)")
    parser.add_argument("--run", metavar="NAME", help=f"name of the run folder (default: {config.RUN_NAME}; "
                        "quick with --quick, demo with --demo; other data, --cv or --seed add their names)")
    parser.add_argument("--cv", choices=config.PROTOCOLS, help="protocol: who is trained on and who is tested, "
                        f"explained in splits.py (default: {config.PROTOCOL}, or given where the data has a split)")
    parser.add_argument("--features", nargs="+", choices=config.FEATURES,
                        help="only these (default: all; with --demo only mfcc)")
    parser.add_argument("--models", nargs="+", choices=config.MODELS, default=config.MODELS,
                        help="only these (default: all)")
    parser.add_argument("--folds", nargs="+", type=int, metavar="K", help="only these, counted from 0 (default: all)")
    parser.add_argument("--seed", type=int, default=config.SEED, metavar="N",
                        help="of everything random, the folds as well (default: %(default)s)")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="fits side by side, one thread each (default: one per core; 1 with a GPU)")
    parser.add_argument("--backend", choices=parallel.NAMES, default="loky", help="where features are extracted and "
                        "fits run: processes of this machine (loky, the default), a dask cluster, or ray")
    parser.add_argument("--scheduler", metavar="HOST:PORT", help="the running dask scheduler, or ray head "
                        "(without it ray starts on this machine)")
    parser.add_argument("--quick", action="store_true", help="fold 0 only, 3 epochs: does my change run?")
    parser.add_argument("--demo", action="store_true", help="no data needed: a synthesised corpus, 2 to 3 minutes")
    parser.add_argument("--final", action="store_true", help="afterwards train one model of each kind on all "
                        "clips, to give away: <run>/final/")
    parser.add_argument("--overwrite", action="store_true", help="redo fits that are already finished")
    args = parser.parse_args(arguments)
    args.features = args.features or (DEMO["FEATURES"] if args.demo else config.FEATURES)
    args.cv = args.cv or (DEMO["PROTOCOL"] if args.demo else None)
    args.folds = [0] if args.folds is None and args.quick else args.folds
    if not 0 <= args.seed < 2**32:
        parser.error(f"argument --seed: {args.seed} is not within 0 .. {2**32 - 1}")
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"argument --jobs: {args.jobs} is not at least 1")
    if (args.backend, bool(args.scheduler)) in {("dask", False), ("loky", True)}:
        parser.error("--backend dask needs --scheduler HOST:PORT" if args.backend == "dask" else
                     "argument --scheduler: only for --backend dask or ray")
    if args.demo and args.data_dir:
        parser.error("--demo has clips of its own; leave --data-dir out")
    if args.final and args.folds is not None:
        parser.error("--final needs every fold; leave --folds and --quick out (finished fits are kept)")
    if bool(args.train_on) != bool(args.test_on) or args.train_on and (args.data_dir or args.demo):
        parser.error("--train-on and --test-on go together, without --data-dir and --demo")
    if args.run and (Path(args.run).name != args.run or args.run.startswith(".")):
        parser.error(f"argument --run: {args.run!r} is not a plain folder name")
    return args


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    signals.install_interrupt_handler()
    ARGUMENTS = parse()

import contextlib
import importlib.metadata
import os
import platform
import signal
import threading
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

import checks
import data_preprocessing as data
import features

HERE = Path(__file__).parent
# These change where, how much and how fast, not what comes out: they stay out of a fit's hash.
NOT_SCIENCE = {"DATA_DIR", "CACHE_DIR", "RESULTS_DIR", "VISUALIZATIONS_DIR", "RUN_NAME", "FEATURES", "MODELS", "PROTOCOLS"}
PER_MODEL = {"EPOCHS", "BATCH_SIZE", "LEARNING_RATE"}       # a fit depends on its own model's value
ONLY_NETWORKS = {"WEIGHT_DECAY", "EMA_DECAY", "MIXUP_ALPHA", "LABEL_SMOOTHING", "TIME_MASK_SECONDS", "FREQ_MASK_FRACTION",
                 "CHECKPOINT", "EARLY_STOPPING_PATIENCE", "LR_SCHEDULE", "PLATEAU_PATIENCE", "PLATEAU_FACTOR",
                 "MINIMUM_LEARNING_RATE"}
ONLY_SVM = {"SVM_C"}
FUNCTIONALS_MODELS = ("mlp", "svm")
PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "librosa", "soundfile", "soxr",
            "python-stretch", "pandas", "joblib", "numba")


@dataclass(frozen=True)
class Task:
    """One fit, with all it needs: can be sent to another process."""
    feature: str
    model: str
    fold: int | str             # "final": see final.py
    seed: int
    settings_hash: str
    settings: SimpleNamespace
    clips: pd.DataFrame         # file, actor, label
    members: list               # [{"train", "validation", "test"}: clip indices], one of each model of the fit
    protocol: str
    driver: int                 # process id

    @property
    def name(self):
        return f"{self.feature} {self.model} fold {self.fold}"


def main(args):
    signal.signal(signal.SIGTERM, signal.default_int_handler)       # ends like Ctrl-C
    began = time.time()
    try:
        # -- data --------------------------------------------------------------------------------------
        settings = resolve_settings(args)
        source = load_corpus(args, settings)
        clips = data.survey(source.clips, settings.CACHE_DIR, args.jobs or -1)
        print(data.data_report(source, clips))
        settings.CLASSES = source.classes
        settings.PROTOCOL = args.cv or ("given" if "split" in clips else settings.PROTOCOL)
        args.run = args.run or run_name(args, settings, source)
        run = args.results_dir / args.run

        # -- split -------------------------------------------------------------------------------------
        folds = make_folds(clips, settings, args.folds)
        settings.N_FOLDS = len(folds)
        protocol = splits.protocol_sentence(settings.PROTOCOL, settings.N_FOLDS, settings.SEED, settings.VALIDATION_FRACTION,
                                        settings.ENSEMBLE_SIZE)

        with parallel.parallel_backend(args.backend, args.scheduler, args.jobs or one_job_on_gpu()) as workers:
            # -- features ------------------------------------------------------------------------------
            corpus = data.build_features(clips, settings, workers.jobs, workers.delayed)
            clips["trimmed_seconds"] = corpus.trimmed_seconds
            print(f"features: {', '.join(f'{name} {array.shape[2:]}' for name, array in corpus.sequences.items())} "
                  f"(frames, n) of {settings.N_AUGMENTED} + 1 versions of each clip, in {corpus.folder}")

            # -- plan ----------------------------------------------------------------------------------
            tasks = make_tasks(clips, folds, corpus, settings, protocol)
            write_run_metadata(run, args, source.name, clips, tasks, settings, protocol)
            kinds = [task for task in tasks if task.feature in args.features and task.model in args.models]
            chosen = [task for task in kinds if args.folds is None or task.fold in args.folds]
            waiting = pending_tasks(run, chosen, args.overwrite)
            parts = chosen[0].members[0]
            print(f"protocol: {protocol}\n"
                  f"fold {chosen[0].fold}, each of {settings.ENSEMBLE_SIZE} models of a fit: {len(parts['train'])} clips "
                  f"train (networks: x {settings.N_AUGMENTED + 1} versions), {len(parts['validation'])} validate, "
                  f"{len(parts['test'])} test; "
                  f"{len(settings.CLASSES)} classes, chance {1 / len(settings.CLASSES):.1%}\n"
                  f"run {run}: {len(chosen)} fits, {len(chosen) - len(waiting)} finished before, "
                  f"{len(waiting)} to do, {min(workers.jobs, max(len(waiting), 1))} side by side")

            # -- fits ----------------------------------------------------------------------------------
            run_tasks(run, waiting, corpus, workers, done=len(chosen) - len(waiting))
            finished = runs.collect_fits(run, {task_key(task): task.settings_hash for task in tasks})
            summary = runs.write_tables(run, finished, settings.N_FOLDS)
            if args.final:
                final.train(run, kinds, finished, run_task, lambda tasks: tasks_with_inputs(tasks, corpus, workers),
                            workers)
    # OSError: a full disk, a read-only folder
    except (data.DataError, parallel.EngineError, final.FinalError, runs.RunError, OSError) as problem:
        print(f"train.py: error: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        shutdown_workers()
        sys.exit("\nstopped; finished fits are kept. The same command goes on from here.")

    # -- results ---------------------------------------------------------------------------------------
    print_summary(summary, protocol, settings, time.time() - began)
    if args.demo:
        print(DEMO_WARNING)
    where = f" --results-dir {args.results_dir}" if args.results_dir != config.RESULTS_DIR else ""
    print(f"written: {run}. Pictures: python viz.py --run {args.run}{where}")


# -- data ------------------------------------------------------------------------------------------
def resolve_settings(args):
    """config.py as a namespace, with what --quick and --demo change.

    raises : DataError, for settings that cannot work
    """
    values = {name: value for name, value in vars(config).items() if name.isupper()}
    checks.of_run(SimpleNamespace(**values))
    values |= (DEMO if args.demo else {}) | (QUICK if args.quick else {})
    values |= dict(PROTOCOL=args.cv or config.PROTOCOL, SEED=args.seed)
    values["FEATURES"] = tuple(name for name in features.NAMES if name in {*values["FEATURES"], *args.features})
    if args.final and values["LR_SCHEDULE"] == "plateau":
        raise data.DataError('--final: LR_SCHEDULE = "plateau" watches validation clips, and models on all clips have '
                             'none; take "cosine" in config.py')
    return SimpleNamespace(**values)


def one_job_on_gpu():
    """1 where there is a GPU, which runs one fit at a time; else None."""
    return 1 if Path("/dev/nvidia0").exists() else None


def load_corpus(args, settings):
    """The Corpus that was asked for (corpora.py)."""
    if args.demo:
        print(DEMO_WARNING)
        folder = Path(settings.CACHE_DIR) / "demo-corpus"
        demo_corpus.write_corpus(folder)
        return replace(corpora.find_corpus(folder), name="synthesised demo corpus", complete=None)
    if args.train_on:
        return corpora.join_corpora(corpora.find_corpus(args.train_on), corpora.find_corpus(args.test_on))
    return corpora.find_corpus(corpora.data_dir(args.data_dir))


def run_name(args, settings, source):
    """Name of the run folder, where none was asked for: what differs from the default is in it."""
    return "-".join(["demo" if args.demo else "quick" if args.quick else config.RUN_NAME]
                    + [source.short_name] * (source.name != corpora.RAVDESS and not args.demo)
                    + [settings.PROTOCOL] * (settings.PROTOCOL != config.PROTOCOL)
                    + [f"seed{args.seed}"] * (args.seed != config.SEED))


# -- split and plan --------------------------------------------------------------------------------
def make_folds(clips, settings, asked):
    """Every fold, as splits.members_of_fold gives it; the folds asked for are among them."""
    try:
        fold_of_clip = splits.assign_folds(settings.PROTOCOL, clips, settings.N_FOLDS, settings.SEED)
        folds = [splits.inner_splits(settings.PROTOCOL, fold, fold_of_clip, clips, settings.VALIDATION_FRACTION,
                                        settings.SEED, settings.ENSEMBLE_SIZE)
                 for fold in range(fold_of_clip.max() + 1)]
    except ValueError as problem:
        raise data.DataError(f"{len(clips)} clips do not suit --cv {settings.PROTOCOL}: {problem}") from problem
    if not set(asked or []) <= set(range(len(folds))):
        raise data.DataError(f"argument --folds: {sorted(asked)} are not all within 0..{len(folds) - 1}")
    return folds


def make_tasks(clips, folds, corpus, settings, protocol):
    """Every fit of the study, whatever part of it is asked for now; fold by fold."""
    nets, classical = (code_fingerprint(*(HERE / name for name in (*files, "ser/splits.py", "ser/seeds.py")))
                       for files in (("study/networks.py", "model.py"), ("study/svm.py", "ser/dtw.py")))
    tasks = []
    for fold, members in enumerate(folds):
        told = hash_json([clips.label.tolist(), clips.actor.astype(str).tolist(),     # a manifest may change these
                               [{part: own.tolist() for part, own in parts.items()} for parts in members]])
        for feature in settings.FEATURES:
            for model in settings.MODELS:
                code, without = (classical, ONLY_NETWORKS) if model in svm.KINDS else (nets, ONLY_SVM)
                science = {name: value.get(model) if name in PER_MODEL else value
                           for name, value in vars(settings).items() if name not in NOT_SCIENCE | without}
                tasks.append(Task(
                    feature, model, fold, seed=seeds.seed_for(settings.SEED, "fit", feature, model, fold),
                    settings_hash=hash_json([science, code, corpus.key, told, feature, model, fold]),
                    settings=settings, clips=clips[["file", "actor", "label"]], members=members, protocol=protocol,
                    driver=os.getpid()))
    return tasks


def task_key(task):
    return runs.fit_name(task.feature, task.model, task.fold)


def write_run_metadata(run, args, data_name, clips, tasks, settings, protocol):
    """config.json, environment.json, clips.csv, folds.csv: what the run is, before it computes."""
    facts = {name: value for name, value in vars(settings).items() if name not in NOT_SCIENCE - {"FEATURES", "MODELS"}}
    write_json(run / "config.json", dict(
        facts, protocol=protocol, command=" ".join(["python", *map(str, sys.argv)]), demo=args.demo, data=data_name,
        settings_hashes={task_key(task): task.settings_hash for task in tasks}))
    write_json(run / "environment.json", dict(
        {name: importlib.metadata.version(name) for name in PACKAGES}, python=platform.python_version(),
        system=platform.platform(), processor=processor(), cores=joblib.cpu_count()))
    write_csv(run / "clips.csv", clips.drop(columns=["path", "label", "sound"]).round(6))
    folds = clips[["file", "actor", "emotion", "recording"]].copy()
    folds.insert(4, "fold", -1)
    for task in {task.fold: task for task in tasks}.values():
        folds.loc[task.members[0]["test"], "fold"] = task.fold
        folds[f"part_{task.fold}"] = splits.split_names(task.members, len(clips))
    write_csv(run / "folds.csv", folds)


def processor():
    """The processor's name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] \
        if cpuinfo.exists() else []
    return names[0] if names else platform.processor()


def pending_tasks(run, tasks, overwrite):
    """The tasks still to do, with a word on those whose settings changed."""
    waiting, changed = [], 0
    for task in tasks:
        metrics = runs.read_metrics(run / "fits" / task_key(task))
        if metrics is None or overwrite:
            waiting.append(task)
        elif metrics["settings_hash"] != task.settings_hash:
            waiting.append(task)
            changed += 1
    if changed:
        print(f"{changed} finished fits were made with other settings, data or code: they are done again")
    return waiting


# -- fits ------------------------------------------------------------------------------------------
def run_tasks(run, tasks, corpus, workers, done):
    """Do the tasks, `jobs` at a time; each is written when it is finished. Workers write nothing.

    On this machine the arrays are memory-mapped by every worker; elsewhere they are sent there.
    """
    began, total, jobs = time.time(), done + len(tasks), workers.jobs
    parallel = joblib.Parallel(min(jobs, max(len(tasks), 1)), return_as="generator_unordered", batch_size=1,
                               pre_dispatch="n_jobs")
    finished = parallel(workers.delayed(run_task)(*work) for work in tasks_with_inputs(tasks, corpus, workers))
    with tqdm(total=total, initial=done, desc="fits", unit="fit", disable=None, smoothing=0) as bar:
        for number, (task, metrics, files) in enumerate(finished, start=1):
            runs.write_fit(run / "fits" / task_key(task), files)
            under_way = (min(jobs, len(tasks)) - 1) / 2                 # on average half done
            left = (time.time() - began) / (number + under_way) * max(len(tasks) - number - under_way, 0)
            epochs = f"epoch {metrics['best_epoch']} of {metrics['epochs']}, " if "epochs" in metrics else ""
            bar.update()
            tqdm.write(f"[{done + number}/{total}] {task.name}: accuracy {metrics['accuracy']:.1%}, weighted F1 "
                       f"{metrics['weighted_f1']:.1%}, {epochs}"
                       f"{metrics['parameters']:,} parameters, {metrics['fit_seconds']:.0f} s; "
                       f"about {left / 60:.0f} min left", file=sys.stdout)
            sys.stdout.flush()


def tasks_with_inputs(tasks, corpus, workers):
    """[(task, x, lengths), ...] as `do` takes them, where its workers find the arrays."""
    arrays = {}
    for task in tasks:
        arrays[task.feature, task.model in FUNCTIONALS_MODELS] = task_inputs(task, corpus)[0]
    given = workers.share(arrays | {"lengths": corpus.lengths})
    return [(task, given[task.feature, task.model in FUNCTIONALS_MODELS],
             None if task.model in FUNCTIONALS_MODELS else given["lengths"]) for task in tasks]


def task_inputs(task, corpus):
    """What the model of a task is fed: x (clips, versions, ...) and lengths (clips, versions) or None."""
    if task.model in FUNCTIONALS_MODELS:
        return corpus.functionals[task.feature], None
    return corpus.sequences[task.feature], corpus.lengths


def run_task(task, x, lengths):
    """One task, in whatever process: task -> task, its summary, and the files of its folder by name."""
    data.ignore_sigint_in_worker(task.driver)
    parallel.disable_worker_recycling()
    x, lengths = parallel.fetch(x), parallel.fetch(lengths)
    settings = task.settings
    labels, classes = task.clips.label.to_numpy(), np.array(settings.CLASSES)
    columns = x.shape[-1] // (1 if lengths is not None else len(features.FUNCTIONALS))
    weights = features.cepstral_weights(task.feature, columns, settings.CEPSTRAL_DECAY)
    if task.model in svm.KINDS:
        outcome = svm.fit(task.model, x, lengths, labels, task.members, settings, weights)
        file, versions = runs.SVM_FILE, svm.VERSIONS
    else:
        with defer_interrupts():
            from study import networks as fitting  # here, since it brings TensorFlow
        outcome = fitting.fit(task.model, x, lengths, labels, task.members, task.seed, settings, weights)
        file, versions = runs.NETWORK_FILE, fitting.VERSIONS

    def predictions(part):
        clips = task.clips.iloc[clips_of[part]]
        table = pd.DataFrame(dict(file=clips.file, actor=clips.actor, true=classes[clips.label],
                                  predicted=classes[outcome[part].argmax(axis=1)]))
        return table.join(pd.DataFrame(outcome[part].round(6), clips.index, [f"p_{name}" for name in classes]))

    clips_of = {"test": task.members[0]["test"], "validation": splits.validation_indices(task.members)}
    test, validation = predictions("test"), predictions("validation")
    scored = metrics.fit_metrics(test, validation) if len(test) else {"temperature": None}        # none: a final model
    summary = dict(
        feature=task.feature, model=task.model, fold=task.fold, protocol=task.protocol, **scored,
        fit_seconds=outcome["seconds"], parameters=outcome["parameters"], seed=task.seed,
        settings_hash=task.settings_hash)
    preprocessing = dict(
        labels=settings.CLASSES, feature=task.feature, input="functionals" if lengths is None else "sequences",
        frames=settings.N_FRAMES, mean=outcome["mean"].tolist(), std=outcome["std"].tolist(),
        temperature=summary["temperature"], loading=settings.LOADING_SETTINGS, features=settings.FEATURE_SETTINGS,
        versions=versions)
    files = {"predictions.csv": test.to_csv(index=False), "validation_predictions.csv": validation.to_csv(index=False),
             "preprocessing.json": as_json(preprocessing), file: outcome["model"]}
    if "history" in outcome:
        history = outcome["history"]
        summary.update(best_epoch=round(history.epoch[history.kept == 1].median()), epochs=int(history.epoch.max()))
        files["history.csv"] = history.to_csv(index=False)
    return task, summary, {"metrics.json": as_json(summary), **files}


@contextlib.contextmanager
def defer_interrupts():
    """Ctrl-C within the block takes effect at its end: an import of keras cut short says that a package is missing."""
    if threading.current_thread() is not threading.main_thread():       # dask's workers; they get none
        yield
        return
    asked = []
    before = {number: signal.signal(number, lambda number, frame: asked.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in asked[:1]:
        signal.raise_signal(number)


def shutdown_workers():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    get_reusable_executor().shutdown(wait=True, kill_workers=True)


# -- results ---------------------------------------------------------------------------------------
def print_summary(summary, protocol, settings, seconds):
    """The table of the study; mean and standard deviation over folds, in per cent."""
    print(f"\n{protocol}\n{'feature':8} {'model':9} {'folds':>5}  {'accuracy':>12} {'95 % interval':>14} {'UAR':>12} "
          f"{'weighted F1':>12} {'macro F1':>12} {'p':>6} {'parameters':>11} {'s a fit':>8}")
    for row in summary.itertuples():
        cells = {name: f"{100 * getattr(row, f'{name}_mean'):.1f} +- {100 * getattr(row, f'{name}_std'):.1f}"
                 for name in metrics.METRICS}
        interval = f"{100 * row.accuracy_low:.1f} to {100 * row.accuracy_high:.1f}"
        print(f"{row.feature:8} {row.model:9} {row.folds:5}  {cells['accuracy']:>12} {interval:>14} {cells['uar']:>12} "
              f"{cells['weighted_f1']:>12} {cells['macro_f1']:>12} {row.p_against_best:6.3f} {row.parameters:11,} "
              f"{row.fit_seconds:8.0f}".replace("   nan", "      "))
    print(f"per cent, mean +- standard deviation over the finished folds (of {settings.N_FOLDS}); interval: bootstrap\n"
          f"over actors; p: corrected t-test against the model with the best validation accuracy; chance "
          f"{100 / len(settings.CLASSES):.1f}; this command took {seconds / 60:.1f} min")


if __name__ == "__main__":
    main(ARGUMENTS)
