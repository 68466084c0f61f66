"""How long the fits of a study will still take, and the line that each finished fit gets."""
import heapq
import time

from ser.terminal import WIDTH, duration, rough_duration

# Seconds that a member of a network takes at first (its network is traced), and for 1000 clips in an epoch, on two
# cores of 2024, on 40 columns; by name, or else by input. How fast this machine is, its first fits tell.
NETWORK_SECONDS = {"cnn1d": (6, 0.7), "bilstm": (6, 1.0), "hybrid": (8, 0.85), "mlp": (3, 0.15),
                   "frames": (6, 0.85), "functionals": (3, 0.15)}
OTHER_SECONDS = {"frames": 18, "functionals": 1.4}      # of other models, for 1000 clips; they grow with the square
COLUMNS_COST = {"frames": 1 / 900, "functionals": 1 / 130}      # of each column beyond 40, as a share
RECENT = 4              # fits of the same kind whose mean is taken: the machine may be busier now than before
FITS_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"      # the line of each fit has the time left
WORTH_SAYING = 15       # seconds: of less it is not said


def expected_cost(task, n_variants):
    """Seconds that a fit takes on the machine of the tables above; of another one, how it compares to other fits.

    n_variants : of a clip: 1 and its augmented copies
    """
    kind = "functionals" if task.on_functionals else "frames"
    width = 1 + max(0, len(task.weights) - 40) * COLUMNS_COST[kind]
    thousands = [len(split["train"]) / 1000 for split in task.member_splits]
    if "epochs" not in task.hyperparameters:
        return OTHER_SECONDS[kind] * width * max(thousands) ** 2 + 0.1
    at_first, per_thousand = NETWORK_SECONDS.get(task.model) or NETWORK_SECONDS[kind]
    return sum(at_first + task.hyperparameters["epochs"] * n * n_variants * per_thousand * width for n in thousands)


class Progress:
    """The time left of tasks that run `jobs` side by side, in their order, from the times of those finished.

    tasks : with name, feature, model; costs : {name: expected_cost}; clock : gives seconds
    """
    def __init__(self, tasks, costs, jobs, clock=time.monotonic):
        self.costs, self.clock = costs, clock
        self.waiting = list(tasks)
        self.began = {}                 # {name: (task, when)} of those under way
        self.seconds = {}               # {(feature, model): [(seconds, cost), ...]} of those finished
        for _ in range(min(jobs, len(self.waiting))):
            self.begin_next()

    def begin_next(self):
        if self.waiting:
            task = self.waiting.pop(0)
            self.began[task.name] = task, self.clock()

    def finish(self, task, seconds):
        """A task has finished, and the next one begins. seconds : that the fit took."""
        self.began.pop(task.name, None)
        self.seconds.setdefault((task.feature, task.model), []).append((seconds, self.costs[task.name]))
        self.begin_next()

    def expected_seconds(self, task):
        """Of a fit: by the fits of the same feature and model that have finished, else by those of the same model, else
        by all; of the last two by how their costs compare."""
        own = self.seconds.get((task.feature, task.model), [])
        of_model = [pair for (_, model), pairs in self.seconds.items() if model == task.model for pair in pairs]
        of_all = [pair for pairs in self.seconds.values() for pair in pairs]
        known = own[-RECENT:] or of_model or of_all
        return sum(seconds for seconds, _ in known) / sum(cost for _, cost in known) * self.costs[task.name]

    def seconds_left(self):
        """Time until all tasks are finished; one must have finished before."""
        now, free = self.clock(), []                # free : when each job has done with its task, from now on
        for task, began in self.began.values():
            free.append(max(self.expected_seconds(task), 1.1 * (now - began)) - (now - began))
        heapq.heapify(free)
        for task in self.waiting:
            heapq.heapreplace(free, free[0] + self.expected_seconds(task))
        return max(free, default=0)


def fit_line(position, task, summary, seconds_left):
    """What is printed of a finished fit: its metrics and the time left, as much of it as has room in a line.

    position : "[3/12]"; summary : the content of its metrics.json
    """
    parts = [f"accuracy {summary['accuracy']:.1%}", f"weighted F1 {summary['weighted_f1']:.1%}"] \
        if "accuracy" in summary else []
    if not parts and "validation_accuracy" in summary:
        parts = [f"validation accuracy {summary['validation_accuracy']:.1%}"]
    stopped = summary.get("best_epoch") != summary.get("epochs")        # else it is that of every fit of the model
    parts += [f"epoch {summary['best_epoch']} of {summary['epochs']}"] if stopped else []
    parts += [duration(summary["fit_seconds"])]
    left = f"; about {rough_duration(seconds_left)} left" if seconds_left >= WORTH_SAYING else ""
    fold = f"fold {task.fold}" if isinstance(task.fold, int) else task.fold
    while len(line := f"{position} {task.feature} {task.model} {fold}: {', '.join(parts)}{left}") > WIDTH \
            and len(parts) > 2:
        del parts[1]
    return line
