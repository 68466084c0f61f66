"""The study: every feature, every model, every fold. Settings are in config.py.

    python train.py --data-dir FOLDER       100 fits, two hours; run it again, finished fits are kept
    python train.py --data-dir my.csv       the same on clips of your own, see ser/corpora.py
    python train.py --demo                  the same path on a small synthesised corpus, in two to three minutes

Reads the clips, writes results/<run>/ (layout in study/runs.py). The test clips of a fold are predicted once, after its
training; what training decides (when to stop, learning rate, which weights) it decides on an inner validation split.
Choosing the epoch on the test fold instead makes RAVDESS look 2 to 9 points better.
"""
import argparse
import sys
from pathlib import Path

import config
import features
from ser import alterations, parallel, processor, splits
from ser.errors import UserError, run_command
from ser.settings import FolderName, apply_recipe, override, read_settings, validate
from ser.signals import ignore_interrupts, install_interrupt_handler

# What a quick look and the demo change. They have run folders of their own.
QUICK_FEATURES, QUICK_EPOCHS, QUICK_ENSEMBLE_SIZE = ["mfcc"], 2, 1
DEMO = dict(DEFAULT_FEATURES=("mfcc",), PROTOCOL="stratified", N_FOLDS=2, VALIDATION_FRACTION=0.2, ENSEMBLE_SIZE=2)
DEMO_EPOCHS = {"cnn1d": 14, "hybrid": 14}       # of the other networks: half of their epochs
DEMO_WARNING = "DEMO: synthesised clips, not speech. These are not real numbers; they show that everything runs."
OLD_PROTOCOLS = {"luna": "luna_jimenez", "given": "predefined"}


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description="Train every model on every feature under cross-validation. Settings: config.py.")
    parser.add_argument("--data-dir", nargs="+", metavar="PLACE", help="folder with the clips of RAVDESS, EMO-DB, "
                        "CREMA-D, SAVEE or TESS, or a CSV of your own: path,emotion,speaker[,recording,split] "
                        "(default: $RAVDESS_DIR, else DATA_DIR in config.py, else the project's folder); of several, "
                        "the emotions that all have")
    parser.add_argument("--train-on", nargs="+", metavar="PLACE", help="cross-corpus, with --test-on: train on the "
                        "clips of some places, test on those of others, on the emotions that all have")
    parser.add_argument("--test-on", nargs="+", metavar="PLACE", help="see --train-on")
    parser.add_argument("--results-dir", metavar="DIR", type=Path, help=f"folder for the runs (default: "
                        f"{config.RESULTS_DIR})")
    parser.add_argument("--run", metavar="NAME", help=f"name of the run folder (default: {config.RUN_NAME}; "
                        "quick with --quick, demo with --demo; other data, recipe, protocol or seed add their names)")
    parser.add_argument("--protocol", choices=splits.PROTOCOLS, help="who is in training and who is tested, explained "
                        f"in ser/splits.py (default: {config.PROTOCOL}; on other data speakers, or its own split)")
    parser.add_argument("--adapt", choices=config.__annotations__["ADAPT"].values, help="speaker: features of each "
                        "speaker centred by the speaker's own clips, labels unseen; a protocol of its own (default: "
                        f"{config.ADAPT})")
    parser.add_argument("--recipe", choices=config.RECIPES, help="tuned; described, which keeps to the usual "
                        "description of these networks; or robust, for recordings of other microphones and rooms "
                        f"(default: {config.RECIPE})")
    parser.add_argument("--features", nargs="+", choices=features.FEATURES, help="only these (default: "
                        f"{' '.join(config.DEFAULT_FEATURES)}; with --demo {' '.join(DEMO['DEFAULT_FEATURES'])})")
    parser.add_argument("--models", nargs="+", choices=config.MODELS,
                        help=f"only these (default: {' '.join(config.DEFAULT_MODELS)})")
    parser.add_argument("--folds", nargs="+", type=int, metavar="K", help="only these, counted from 0 (default: all)")
    parser.add_argument("--seed", type=int, metavar="N",
                        help=f"of everything random, the folds as well (default: {config.SEED})")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting of "
                        "config.py, such as EMA_DECAY=0.999 or MODELS.cnn1d.epochs=30; may be given several times")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="fits side by side, one thread each (default: one per core; 1 with a GPU)")
    parser.add_argument("--backend", choices=parallel.BACKENDS, default="loky", help="where features are extracted and "
                        "fits run: processes of this machine (loky, the default), a dask cluster, or ray")
    parser.add_argument("--scheduler", metavar="HOST:PORT", help="the running dask scheduler, or ray head "
                        "(without it ray starts on this machine)")
    parser.add_argument("--reproducible", action="store_true", help="the same digits on other x86-64 processors: none "
                        "uses more than AVX2 (see docs/performance.md for what it costs)")
    parser.add_argument("--quick", action="store_true", help=f"fold 0, {' '.join(QUICK_FEATURES)}, one "
                        f"network a fit, {QUICK_EPOCHS} epochs: does my change run? About a minute")
    parser.add_argument("--demo", action="store_true", help="no data needed: a synthesised corpus, 2 to 3 minutes")
    parser.add_argument("--final", action="store_true", help="afterwards train one model of each kind on all "
                        "clips, to give away: <run>/final/")
    parser.add_argument("--search", type=int, metavar="N", help="in place of the study: try N random combinations of "
                        "the settings in SEARCH (config.py) on inner validation alone; <run>-search/")
    parser.add_argument("--tensorboard", action="store_true", help="also write each finished fit's curves and metrics "
                        "as event files: <run>/tensorboard/")
    parser.add_argument("--overwrite", action="store_true", help="redo fits that are already finished")
    parser.add_argument("--cv", dest="protocol", type=lambda name: OLD_PROTOCOLS.get(name, name),
                        choices=splits.PROTOCOLS, help=argparse.SUPPRESS)       # old name of --protocol
    args = parser.parse_args(arguments)
    if args.quick:
        args.folds, args.features = args.folds or [0], args.features or QUICK_FEATURES
    if args.seed is not None and not 0 <= args.seed < 2**32:
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
    if args.search is not None and (args.search < 1 or args.final or args.tensorboard or len(args.folds or [0]) > 1):
        parser.error("--search N: at least 1, on one fold (--folds K), without --final and --tensorboard")
    if args.reproducible and (args.backend != "loky" or not processor.can_be_pinned()):
        parser.error("argument --reproducible: only on an x86-64 processor, and without --backend")
    if args.run and FolderName().violation(args.run):
        parser.error(f"argument --run: {args.run!r} is not {FolderName().violation(args.run)}")
    return args


def resolve_settings(args):
    """The Settings of a run: config.py, changed by the recipe, --demo, --quick, the other flags and --set, in that
    order; checked.

    raises : UserError
    """
    settings, assignments = apply_recipe(read_settings(config), args.recipe, args.set)
    recipe = settings.RECIPES[settings.RECIPE]
    if args.demo:
        rows = {name: row._replace(epochs=DEMO_EPOCHS.get(name, -(-config.MODELS[name].epochs // 2)), batch_size=16)
                if row.is_network else row for name, row in settings.MODELS.items()}
        settings = settings.replace(MODELS=rows, **{name: value for name, value in DEMO.items() if name not in recipe})
    if args.quick:
        rows = {name: row._replace(epochs=min(row.epochs, QUICK_EPOCHS)) if row.is_network else row
                for name, row in settings.MODELS.items()}
        settings = settings.replace(MODELS=rows, ENSEMBLE_SIZE=QUICK_ENSEMBLE_SIZE)
    flags = dict(SEED=args.seed, PROTOCOL=args.protocol, ADAPT=args.adapt, RESULTS_DIR=args.results_dir)
    settings = settings.replace(**{name: value for name, value in flags.items() if value is not None})
    settings = override(settings, assignments)
    validate(settings, DEFAULT_FEATURES=features.FEATURES, DEFAULT_MODELS=settings.MODELS, PROTOCOL=splits.PROTOCOLS,
             ALTERATIONS=alterations.ALTERATIONS, RECIPE=settings.RECIPES)
    if args.train_on and settings.PROTOCOL != "predefined" and (args.protocol or "PROTOCOL" in settings.overridden):
        raise UserError("--train-on and --test-on are the split: leave the protocol out")
    if args.search and settings.SEED in search.SEEDS:
        raise UserError(f"--search tries its settings on seeds {' and '.join(map(str, search.SEEDS))}: report on "
                        "another --seed")
    if args.final and settings.LR_SCHEDULE == "plateau":
        raise UserError('--final: LR_SCHEDULE = "plateau" watches validation clips, and models on all clips have '
                        'none; take "cosine", as the recipe "tuned" does')
    return settings


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    install_interrupt_handler()
    ARGUMENTS = parse()
    if ARGUMENTS.reproducible:
        processor.pin()

import time
from dataclasses import replace

import data_preprocessing as data
from ser import adaptation, corpora, demo_corpus
from ser.cache import cache_report
from ser.files import write_json
from ser.machine import environment, one_job_on_gpu
from ser.terminal import duration, plural, say
from study import estimators, explain, final, runs, search, tasks, tensorboard
from study.printed import announce, print_features, print_search, print_summary


def main(args):
    try:
        run_study(args)
    except KeyboardInterrupt:
        ignore_interrupts()
        parallel.shutdown_workers()
        sys.exit("\nstopped; finished fits are kept. The same command goes on from here.")


def run_study(args):
    """All phases of the command, top to bottom."""
    began = time.time()
    # -- data ------------------------------------------------------------------------------------------
    settings = resolve_settings(args)
    choose_rows(args, settings)             # what cannot work is said before anything is read
    asked_features, asked_models = asked_for(args, settings)
    corpus = load_corpus(args, settings)
    clips = data.survey(corpus.clips, settings.CACHE_DIR, args.jobs or -1)
    say(data.data_report(corpus, clips))
    if settings.ADAPT == "speaker":
        say(adaptation.few_clips_warning(clips.actor))

    # -- split -----------------------------------------------------------------------------------------
    protocol = choose_protocol(args, settings, corpus, clips)
    run = settings.RESULTS_DIR / (args.run or run_name(args, settings, corpus, protocol))
    if args.search:
        return search_settings(args, settings, corpus, clips, protocol, run.with_name(f"{run.name}-search"))
    folds = tasks.make_folds(protocol, clips, settings, args.folds)
    sentence = splits.protocol_sentence(protocol, len(folds), settings.SEED, settings.VALIDATION_FRACTION,
                                        settings.ENSEMBLE_SIZE, settings.ADAPT)
    names, rows, extraction = choose_rows(args, settings, runs.finished_experiments(run))

    with parallel.parallel_backend(args.backend, args.scheduler, args.jobs or one_job_on_gpu()) as workers:
        # -- features ----------------------------------------------------------------------------------
        extracted = data.build_features(clips, extraction, settings.CACHE_DIR, workers.jobs, workers.delayed)
        clips = clips.assign(trimmed_seconds=extracted.trimmed_seconds)
        print_features(extracted, asked_features, settings)
        used = [Path(folder).name for folder in extracted.folders.values()]
        say(cache_report(settings.CACHE_DIR, settings.RESULTS_DIR, used))

        # -- plan --------------------------------------------------------------------------------------
        plan = tasks.Plan(clips, corpus.classes, names, rows, folds, sentence)
        every_task = tasks.make_tasks(plan, extraction, extracted, settings)
        wanted = [task for task in every_task if task.feature in asked_features and task.model in asked_models]
        chosen = [task for task in wanted if args.folds is None or task.fold in args.folds]
        pending = tasks.pending_tasks(run, chosen, args.overwrite)
        tasks.write_run_metadata(run, run_facts(args, settings, corpus, protocol, plan, extraction, used),
                                 environment(), plan, every_task, pending)
        explain.write_examples(run, clips, extracted.sequences, extracted.lengths, extraction.params)
        announce(run, plan, chosen, pending, settings, workers.jobs)

        # -- fits --------------------------------------------------------------------------------------
        if args.tensorboard:
            tensorboard.write_missing(run, {task.name for task in chosen} - {task.name for task in pending})
        tasks.run_tasks(pending, extracted, workers, len(chosen) - len(pending),
                        lambda task, files: write_fit(run, task, files, args.tensorboard))
        tables = runs.collect_fits(run, {task.name: task.fit_id for task in every_task})
        summary = runs.write_tables(run, tables, len(folds))
        if args.final:
            train_final(args, run, wanted, len(folds), tables, extracted, workers, settings)
    # -- results ---------------------------------------------------------------------------------------
    print_summary(summary, plan, tables["predictions"], time.time() - began)
    if not args.quick:
        explain.explain_models(run, extracted, workers.jobs)
    if args.demo:
        print(DEMO_WARNING)
    if args.tensorboard:
        say(f"curves: tensorboard --logdir {run}/{tensorboard.FOLDER}")
    where = f" --results-dir {settings.RESULTS_DIR}" if settings.RESULTS_DIR != config.RESULTS_DIR else ""
    say(f"written: {run}. Pictures: python viz.py --run {run.name}{where}")


def asked_for(args, settings):
    """Names of the features and of the models that were asked for. raises : UserError where none goes with another"""
    first = slice(1 if args.search else None)
    names, models = args.features or settings.DEFAULT_FEATURES[first], args.models or settings.DEFAULT_MODELS[first]
    if not any(settings.MODELS[model].input in features.FEATURES[name].inputs for name in names for model in models):
        raise UserError("none of these models takes any of these features: see `inputs` in features.FEATURES")
    return names, models


def choose_rows(args, settings, done=()):
    """Names of the features, rows of the models, and the Extraction: of the default ones, of those asked for, and of
    the experiments `done` already, [(feature, model), ...]. raises : UserError for what cannot work"""
    names = in_table_order({*settings.DEFAULT_FEATURES, *(args.features or ()), *(feature for feature, _ in done)},
                           features.FEATURES)
    models = in_table_order({*settings.DEFAULT_MODELS, *(args.models or ()), *(model for _, model in done)},
                            settings.MODELS)
    rows = {name: settings.MODELS[name] for name in models}
    estimators.check_rows(rows, settings)
    return names, rows, data.extraction_params(settings, names)


# -- data ------------------------------------------------------------------------------------------
def load_corpus(args, settings):
    """The Corpus that was asked for (ser/corpora.py)."""
    if args.demo:
        print(DEMO_WARNING)
        folder = Path(settings.CACHE_DIR) / "demo-corpus"
        demo_corpus.write_corpus(folder)
        return replace(corpora.find_corpus(folder, settings.CLASSES), name="synthesised demo corpus", complete=None)
    if args.train_on:
        return corpora.join_corpora(*([corpora.find_corpus(place, settings.CLASSES) for place in places]
                                      for places in (args.train_on, args.test_on)))
    found = [corpora.find_corpus(corpora.data_dir(place, settings.DATA_DIR), settings.CLASSES)
             for place in args.data_dir or [None]]
    return corpora.join_corpora(found) if len(found) > 1 else found[0]


def choose_protocol(args, settings, corpus, clips):
    """The protocol: what was asked for; else the data's own split where it has one; else, for data of one's own, folds
    of speakers where there are two or more; else that of the settings."""
    if args.demo or args.protocol or "PROTOCOL" in settings.overridden:
        return settings.PROTOCOL
    if "split" in clips:
        return "predefined"
    own_speakers = corpus.name != corpora.RAVDESS and clips.actor.nunique() > 1
    return "speakers" if own_speakers and settings.PROTOCOL == "stratified" else settings.PROTOCOL


def in_table_order(names, table):
    """Some names of a table, in its order: tuple."""
    return tuple(name for name in table if name in names)


# -- plan ------------------------------------------------------------------------------------------
def run_name(args, settings, corpus, protocol):
    """Name of the run folder, where none was asked for: what differs from the default is in it."""
    return "-".join((["quick"] * args.quick + ["demo"] * args.demo or [settings.RUN_NAME])
                    + [corpus.short_name] * (corpus.name != corpora.RAVDESS and not args.demo)
                    + [settings.RECIPE] * (settings.RECIPE != config.RECIPE)
                    + [protocol] * (protocol != config.PROTOCOL)
                    + [f"seed{settings.SEED}"] * (settings.SEED != config.SEED)
                    + ["adapted"] * (settings.ADAPT != config.ADAPT))                   # last: predict.py looks for it


def run_facts(args, settings, corpus, protocol, plan, extraction, cache_entries):
    """What config.json says of the run, beside its plan."""
    names, models = asked_for(args, settings)
    asked = dict(features=in_table_order(names, features.FEATURES), models=in_table_order(models, settings.MODELS),
                 folds=sorted(set(args.folds or range(len(plan.folds)))))
    return dict(command=" ".join(["python", *map(str, sys.argv)]), demo=args.demo, quick=args.quick, asked=asked,
                data=corpus.name, protocol_name=protocol, adapt=settings.ADAPT,
                speaker_independent=splits.is_speaker_independent(protocol, plan.clips, plan.folds),
                loading=extraction.loading, feature_params=extraction.params, overrides=settings.overridden,
                cache_entries=cache_entries, settings=settings.as_json())


# -- search ----------------------------------------------------------------------------------------
def search_settings(args, settings, corpus, clips, protocol, folder):
    """All phases of --search: see study/search.py."""
    began, fold = time.time(), (args.folds or [0])[0]
    names, models = asked_for(args, settings)
    extraction = data.extraction_params(settings, names)
    table, without_effect = search.searched(settings, models, names, extraction)
    given = search.training_clips(protocol, clips, settings, fold)
    say(search.announcement(args.search, given, len(clips), fold, protocol, names, models, table, without_effect))
    with parallel.parallel_backend(args.backend, args.scheduler, args.jobs or one_job_on_gpu()) as workers:
        extracted = data.build_features(given.clips, extraction, settings.CACHE_DIR, workers.jobs, workers.delayed)
        write_json(folder / "config.json", dict(
            command=" ".join(["python", *map(str, sys.argv)]), protocol_name=protocol, fold=fold, seeds=search.SEEDS,
            settings=settings.as_json(), cache_entries=[Path(path).name for path in extracted.folders.values()]))
        trials = search.run_search(folder, args.search, given, corpus.classes, settings, table, models, names,
                                   extraction, extracted, workers, args.overwrite)
    print_search(trials, table, search.SEEDS)
    search.draw(folder, trials, table, f"Search: {', '.join(models)} on {', '.join(names)}, "
                f"{plural(len(trials), 'trial')}" + ", of a synthesised corpus" * args.demo)
    if args.demo:
        print(DEMO_WARNING)
    say(f"written: {folder}/trials.csv, {folder}/search.png; this command took {duration(time.time() - began)}")


# -- fits ------------------------------------------------------------------------------------------
def write_fit(run, task, files, with_events):
    """A finished fit, {file name: content}, in the folder of the run; `with_events`: for TensorBoard as well."""
    runs.write_fit(run / "fits" / task.name, files)
    if with_events:
        tensorboard.write_event_files(run, task.name)


def train_final(args, run, wanted, n_folds, tables, extracted, workers, settings):
    """Models on all clips, and their card: see study/final.py."""
    final_tasks = final.make_final_tasks(wanted, tables["fits"], n_folds, settings.SEED)
    pending = final.pending(run, final_tasks, args.overwrite)
    say(f"final models, on all clips: {', '.join(f'{task.feature}-{task.model}' for task in final_tasks)}; "
        f"{len(final_tasks) - len(pending)} finished before")
    tasks.run_tasks(pending, extracted, workers, len(final_tasks) - len(pending), lambda task, files: runs.write_fit(
        final.final_folder(run, task), final.with_results_of_folds(task, files, tables)))
    final.write_card(run, final_tasks)


if __name__ == "__main__":
    run_command("train.py", main, ARGUMENTS)
