"""The one table of training options: behind the command line, `--config` and recipes, settings and reference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One training option: `type` is int, float, str, bool, task-int, task-float or names."""

    key: str
    type: str
    help: str
    panel: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above_low: bool = False
    """Whether `low` itself is refused."""
    below_high: bool = False
    """Whether `high` itself is refused."""

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")


_DATA, _MODEL, _OPTIM, _SMART, _RUN = "Data and encoder", "Model", "Optimisation", "SMART", "Run"
_TEACHER = "Teacher"

OPTIONS: tuple[Option, ...] = (
    Option("data", "str", "Data set, by the name that prepare gave it (default: the one prepared last).", _DATA),
    Option("encoder", "str", "Encoder: a hub id, a folder, or minilm (default: the data set's).", _DATA),
    Option("revision", "str", "Revision of a hub encoder: branch, tag or commit.", _DATA),
    Option("init", "str", "Checkpoint whose encoder and heads to start from (never its optimizer state).", _DATA),
    Option("tasks", "names", "Tasks to train, as a list: sst,qqp (default: all of the data set's).", _DATA),
    Option("fold", "str", "Leave out the train rows of fold I of K: I/K, as --folds K does for each I.", _DATA),
    Option("rows", "int", "Train on N rows a task, the same for every seed (default: all).", _DATA, low=1),
    Option("max_length", "int", "Tokens an example may have, special tokens included.", _DATA, low=8),
    Option("pair_mode", "str", "How the two sentences of a pair meet.", _MODEL, ("separate", "cosine", "concat")),
    Option("pooling", "str", "What stands for a sentence.", _MODEL, ("cls", "pooler", "mean")),
    Option(
        "teacher",
        "str",
        "Checkpoint or ensemble whose probabilities and scores on the train rows are learnt beside the labels (Hinton "
        "et al. 2015).",
        _TEACHER,
    ),
    Option(
        "temperature",
        "float",
        "Temperature of the teacher's and the student's probabilities (default with a teacher: 2).",
        _TEACHER,
        low=0.05,
        high=1000,
    ),
    Option(
        "label_share",
        "float",
        "Share of the loss that is the labels'; the rest is the teacher's (default with a teacher: .5).",
        _TEACHER,
        low=0,
        high=1,
    ),
    Option(
        "unlabelled",
        "str",
        "File of rows without labels that the teacher labels: FILE, or task=FILE,…",
        _TEACHER,
    ),
    Option("freeze_encoder", "bool", "Train the heads alone.", _MODEL),
    Option("dropout", "float", "Hidden dropout.", _MODEL, low=0, high=1, below_high=True),
    Option(
        "attention_dropout",
        "float",
        "Dropout on attention weights (default: the encoder's).",
        _MODEL,
        low=0,
        high=1,
        below_high=True,
    ),
    Option(
        "dropout_samples",
        "int",
        "Dropout masks under which each head reads a sentence, their losses averaged (Inoue 2019); 1 is off.",
        _MODEL,
        low=1,
        high=64,
    ),
    Option("schedule", "str", "One task after another, or all in every step.", _OPTIM, ("sequential", "simultaneous")),
    Option("epochs", "task-int", "Epochs: N, or task=N,…", _OPTIM, low=1),
    Option("batch_size", "task-int", "Examples of a task in a step: N, or task=N,…", _OPTIM, low=1),
    Option(
        "accumulate",
        "int",
        "Batches that make an update, their gradients summed: as a batch N times as large, in the memory of one; 1 is "
        "off.",
        _OPTIM,
        low=1,
    ),
    Option("lr", "float", "Learning rate.", _OPTIM, low=0, above_low=True),
    Option("weight_decay", "float", "AdamW weight decay; biases and LayerNorm weights have none.", _OPTIM, low=0),
    Option("warmup", "float", "Share of the steps in which the learning rate rises.", _OPTIM, low=0, high=1),
    Option("lr_schedule", "str", "Learning rate after the warm-up.", _OPTIM, ("constant", "linear")),
    Option(
        "layer_decay",
        "float",
        "Learning rate of each layer, as a share of that of the layer above it; 1 is off (Howard & Ruder 2018).",
        _OPTIM,
        low=0,
        high=1,
        above_low=True,
    ),
    Option(
        "label_smoothing",
        "task-float",
        "Share of a target's probability that is spread over all classes (Szegedy et al. 2016); 0 is off. N, or "
        "task=N,…",
        _OPTIM,
        low=0,
        high=1,
        below_high=True,
    ),
    Option(
        "ordinal",
        "task-float",
        "Sharpness of soft targets for graded classes, in the order of their names (Díaz & Marathe 2019), so that a "
        "near miss costs less than a far one; 0 is off. task=N,…, or N for all tasks of three or more classes.",
        _OPTIM,
        low=0,
    ),
    Option(
        "regression_loss",
        "str",
        "Squared error of scores in their own units (raw), or with their range counted as 1 (unit).",
        _OPTIM,
        ("raw", "unit"),
    ),
    Option(
        "task_weights",
        "task-float",
        "What a task's part of the loss, penalties included, is multiplied by, beside its weight in tasks.toml: "
        "task=N,…, or N for all.",
        _OPTIM,
        low=0,
        above_low=True,
    ),
    Option(
        "balance",
        "str",
        "Weights of the tasks of a step that are learnt: by the noise of their labels (uncertainty: Kendall et al. "
        "2018), or so that their gradients' norms follow their progress (gradnorm: Chen et al. 2018).",
        _OPTIM,
        ("none", "uncertainty", "gradnorm"),
    ),
    Option(
        "balance_alpha",
        "float",
        "GradNorm's exponent: 0 makes the norms equal, more favours tasks that learn slowly.",
        _OPTIM,
        low=0,
        high=3,
    ),
    Option(
        "balance_lr",
        "float",
        "Learning rate of the weights that --balance learns.",
        _OPTIM,
        low=0,
        high=1,
        above_low=True,
    ),
    Option("clip_norm", "float", "Largest gradient norm, encoder and heads together; 0 is off.", _OPTIM, low=0),
    Option(
        "ema",
        "float",
        "Evaluate and keep an exponential average of the weights with this decay, .99 or .999 say; 0 is off.",
        _OPTIM,
        low=0,
        high=1,
        below_high=True,
    ),
    Option(
        "class_weights",
        "str",
        "What a row of each class counts in the loss: as tasks.toml says (table), balanced (rows / classes / rows of "
        "the class, for every task of classes; of several labels rows without / rows with the label), or off.",
        _OPTIM,
        ("table", "balanced", "off"),
    ),
    Option(
        "sampling",
        "str",
        "Which rows a pass takes: each once, or of each class equally many (balanced), so rows of rare classes come "
        "several times and some of frequent ones wait for another pass; tasks of scores: each once.",
        _OPTIM,
        ("once", "balanced"),
    ),
    Option(
        "swap_pairs", "task-float", "Chance that a pair's sentences swap places: P, or task=P,…", _OPTIM, low=0, high=1
    ),
    Option(
        "task_sampling",
        "str",
        "Which tasks a step trains: a batch of every task (all, the paper's way), or one task drawn by its size: "
        "proportional, sqrt (by the size's square root), or annealed from proportional towards even (Stickland & "
        "Murray 2019).",
        _OPTIM,
        ("all", "proportional", "sqrt", "annealed"),
    ),
    Option("surgery", "str", "Conflict projection: none, pcgrad, or torchjd:NAME (extra aggregators).", _OPTIM),
    Option("lambda", "task-float", "Weight of the smoothness penalty R_s; 0 is off. N, or task=N,…", _SMART, low=0),
    Option("mu", "task-float", "Weight of the Bregman penalty; 0 is off. N, or task=N,…", _SMART, low=0),
    Option(
        "beta",
        "float",
        "Teacher's average (default: .99 for a tenth of the steps, then .999). 0 is the previous "
        "iterate: with one inner step its gradient is zero but for dropout, so it has little effect.",
        _SMART,
        low=0,
        high=1,
    ),
    Option("smart_variant", "str", "paper, or mtdnn: what most published code runs.", _SMART, ("paper", "mtdnn")),
    Option("smart_dropout", "str", "Dropout in R_s; same: the clean pass's masks.", _SMART, ("on", "off", "same")),
    Option(
        "epsilon",
        "float",
        "Radius of the perturbation. With --norm 2 it counts the whole sentence, so it is weaker by "
        "about sqrt(tokens x width) than with inf.",
        _SMART,
        low=0,
    ),
    Option("sigma", "float", "Standard deviation of the start noise.", _SMART, low=0),
    Option("step_size", "float", "Ascent step: delta <- project(delta + step-size * g / |g|).", _SMART, low=0),
    Option("ascent_steps", "int", "Ascent steps K.", _SMART, low=1),
    Option("norm", "str", "Norm of a sentence's perturbation.", _SMART, ("inf", "2")),
    Option(
        "fgm",
        "float",
        "FGM (Miyato et al. 2017): radius of one step against the label on each sentence's word embeddings, whose loss "
        "is added; 0 is off.",
        _SMART,
        low=0,
    ),
    Option(
        "rdrop",
        "float",
        "R-Drop (Liang et al. 2021): weight of the divergence between two passes with different dropout masks, beside "
        "the second pass's loss; 0 is off.",
        _SMART,
        low=0,
    ),
    Option("seed", "int", "Seed of every random draw.", _RUN, low=0, high=2**63 - 1),
    Option(
        "init_seed",
        "int",
        "Seed of fresh heads' first weights alone, so that runs of several --seed have one start, as smart soup needs "
        "(default: --seed).",
        _RUN,
        low=0,
        high=2**63 - 1,
    ),
    Option(
        "precision",
        "str",
        "Number format of training; auto times fp32 and bf16; tf32 on a GPU alone.",
        _RUN,
        ("auto", "fp32", "tf32", "bf16"),
    ),
    Option("device", "str", "Where to train.", _RUN, ("auto", "cpu", "cuda")),
    Option("threads", "int", "CPU threads (default: all).", _RUN, low=1),
    Option("max_steps", "int", "End after N updates.", _RUN, low=1),
    Option("save_every", "int", "Save the run every N steps too (always: each epoch and 10 minutes).", _RUN, low=1),
    Option("keep", "str", "Which epoch becomes the checkpoint, by dev score.", _RUN, ("best", "last")),
    Option("skip_bad_steps", "int", "Go on past at most N steps with a non-finite loss or gradient.", _RUN, low=0),
    Option("compile", "bool", "Compile the layers' feed-forward part; on a CPU it needs a C++ compiler.", _RUN),
    Option(
        "cuda_graphs",
        "str",
        "On a GPU: record each step once for every shape of batch, and replay it.",
        _RUN,
        ("auto", "off"),
    ),
)
OPTION_OF: dict[str, Option] = {option.key: option for option in OPTIONS}
RUN_ONLY: frozenset[str] = frozenset({"threads", "device", "precision", "save_every", "skip_bad_steps", "cuda_graphs"})
"""Options that may differ when a run is resumed: they change nothing of what was trained so far.

skip_bad_steps is one of them, since a run that a bad step stopped would stop there again for ever.
"""
TEXT_OPTIONS: tuple[str, ...] = (
    *("data", "encoder", "revision", "init", "tasks", "max_length", "dropout", "attention_dropout"),
    *("epochs", "batch_size", "lr", "weight_decay", "warmup", "lr_schedule", "clip_norm"),
    *("seed", "device", "threads", "max_steps", "save_every"),
)
"""Those that pretrain-text has: what needs labels does nothing there."""
_TEXT_LR = {"lr": 5e-5, "lr_schedule": "linear", "warmup": 0.06, "weight_decay": 0.01, "clip_norm": 1.0}
TEXT_DEFAULTS: dict[str, object] = {"epochs": 3, "batch_size": 32, **_TEXT_LR}
"""What training on masked words takes, whatever the encoder: presets are for fine-tuning."""
