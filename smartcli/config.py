"""Training options in one frozen value: types, allowed values, and the paper's defaults.

The options themselves, with their limits and help, stand in option_table.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Literal, TypeVar, cast

from smartcli.errors import UserError, suggest
from smartcli.option_table import OPTION_OF, OPTIONS, Option

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class PerTask(Generic[Number]):
    """One value for every task, and other values for named tasks (`--lambda 1`, `--lambda sts=2`)."""

    default: Number
    by_task: tuple[tuple[str, Number], ...] = ()

    def __getitem__(self, task: str) -> Number:
        return dict(self.by_task).get(task, self.default)

    def with_tasks(self, values: Mapping[str, Number]) -> PerTask[Number]:
        """Return the same with `values` for the named tasks; the others keep theirs."""
        return PerTask(self.default, tuple({**dict(self.by_task), **values}.items()))

    def to_json(self) -> Any:
        """Return the number, or `{"default": number, task: number}` where tasks were named."""
        return {"default": self.default, **dict(self.by_task)} if self.by_task else self.default


@dataclass(frozen=True)
class NamedTasks:
    """Values for named tasks (`--lambda sts=2`), which leave the other tasks as they are."""

    by_task: Mapping[str, Any]

    def on(self, current: PerTask[Any]) -> PerTask[Any]:
        return current.with_tasks(self.by_task)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every training option in force; the field `lam` is the option `lambda`."""

    data: str | None = None
    encoder: str | None = None
    revision: str | None = None
    init: str | None = None
    tasks: tuple[str, ...] | None = None
    fold: str | None = None
    rows: int | None = None
    max_length: int = 128
    pair_mode: Literal["separate", "cosine", "concat"] = "concat"
    pooling: Literal["cls", "pooler", "mean"] = "cls"
    teacher: str | None = None
    temperature: float | None = None
    label_share: float | None = None
    unlabelled: str | None = None
    freeze_encoder: bool = False
    dropout: float = 0.1
    attention_dropout: float | None = None
    dropout_samples: int = 1
    schedule: Literal["sequential", "simultaneous"] = "simultaneous"
    epochs: PerTask[int] = PerTask(10)
    batch_size: PerTask[int] = PerTask(8)
    accumulate: int = 1
    lr: float = 1e-5
    weight_decay: float = 0.0
    warmup: float = 0.0
    lr_schedule: Literal["constant", "linear"] = "constant"
    layer_decay: float = 1.0
    label_smoothing: PerTask[float] = PerTask(0.0)
    ordinal: PerTask[float] = PerTask(0.0)
    regression_loss: Literal["raw", "unit"] = "raw"
    task_weights: PerTask[float] = PerTask(1.0)
    balance: Literal["none", "uncertainty", "gradnorm"] = "none"
    balance_alpha: float = 1.5
    balance_lr: float = 0.01
    clip_norm: float = 0.0
    ema: float = 0.0
    class_weights: Literal["table", "balanced", "off"] = "table"
    sampling: Literal["once", "balanced"] = "once"
    swap_pairs: PerTask[float] = PerTask(0.0)
    task_sampling: Literal["all", "proportional", "sqrt", "annealed"] = "all"
    surgery: str = "none"
    lam: PerTask[float] = PerTask(1.0)
    mu: PerTask[float] = PerTask(0.0)
    beta: float | None = None
    smart_variant: Literal["paper", "mtdnn"] = "paper"
    smart_dropout: Literal["on", "off", "same"] = "on"
    epsilon: float = 1e-5
    sigma: float = 1e-5
    step_size: float = 1e-3
    ascent_steps: int = 1
    norm: Literal["inf", "2"] = "inf"
    fgm: float = 0.0
    rdrop: float = 0.0
    seed: int = 0
    init_seed: int | None = None
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    max_steps: int | None = None
    save_every: int | None = None
    keep: Literal["best", "last"] = "best"
    skip_bad_steps: int = 0
    compile: bool = False
    cuda_graphs: Literal["auto", "off"] = "auto"

    @property
    def heads_seed(self) -> int:
        """The seed that fresh heads are drawn from."""
        return self.seed if self.init_seed is None else self.init_seed

    def to_json(self) -> dict[str, Any]:
        """Return option keys and JSON values, in table order; `Settings.from_json` reads them back."""
        out: dict[str, Any] = {}
        for option in OPTIONS:
            value = getattr(self, field_of(option.key))
            if isinstance(value, PerTask):
                value = value.to_json()
            out[option.key] = list(value) if isinstance(value, tuple) else value
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Settings:
        """Read what `to_json` wrote, checking every value."""
        return apply(cls(), value, "settings")


def field_of(key: str) -> str:
    """Return the `Settings` field of an option key (`lambda` is a Python keyword)."""
    return "lam" if key == "lambda" else key


def apply(settings: Settings, layer: Mapping[str, Any], source: str) -> Settings:
    """Return `settings` with the values of `layer` (option key to text or JSON value) on top.

    A value for named tasks leaves the other tasks as they are; a plain value counts for all. Errors
    start with the flag when `source` is "command line", else with `source` and the key.
    """
    changes: dict[str, Any] = {}
    for raw_key, value in layer.items():
        key = raw_key.replace("-", "_")
        if key not in OPTION_OF:
            raise UserError(f'{source}: unknown key "{raw_key}"{suggest(key, OPTION_OF)}')
        changes[key] = read_value(key, value, source, raw_key)
    return changed(settings, changes)


def read_value(key: str, value: Any, source: str, raw_key: str | None = None) -> Any:
    """Return the value of option `key` from text or a JSON value, as `changed` takes it; errors as in `apply`."""
    option = OPTION_OF[key]
    return _read(option, value, option.flag if source == "command line" else f'{source}, "{raw_key or key}"')


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Return `settings` with what `read_value` gave for option keys."""
    changes = {field_of(key): value for key, value in values.items()}
    for name, value in changes.items():
        if isinstance(value, NamedTasks):
            changes[name] = value.on(getattr(settings, name))
    return replace(settings, **changes)


def _read(option: Option, value: Any, where: str) -> Any:
    if value is None:
        default = next(f.default for f in fields(Settings) if f.name == field_of(option.key))
        if default is None:
            return None
        raise UserError(f"{where} needs a value, found none")
    if option.type == "bool":
        if not isinstance(value, bool):
            raise UserError(f"{where} must be true or false, found {value!r}")
        return value
    if option.type == "names":
        return _names(value, where)
    if option.type.startswith("task-"):
        return _per_task(option, value, where)
    if option.type == "str":
        return _word(option, value, where)
    return read_number(option, value, where)


def _word(option: Option, value: Any, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where} must be a word, found {value!r}")
    if option.choices and value not in option.choices:
        raise UserError(
            f"{where} must be one of {', '.join(option.choices)}; found {value!r}{suggest(value, option.choices)}"
        )
    if option.key == "surgery" and value not in ("none", "pcgrad") and not value.startswith("torchjd:"):
        known = ("none", "pcgrad", "torchjd:NAME")
        raise UserError(f"{where} must be one of {', '.join(known)}; found {value!r}{suggest(value, known)}")
    if option.key == "fold":
        fold_of(value, where)
    return value


def fold_of(value: str, where: str = "--fold") -> tuple[int, int]:
    """Return (I, K) of the option `fold`, I from 1 to K; a UserError names `where`."""
    first, _, last = value.partition("/")
    if first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) and int(last) > 1:
        return int(first), int(last)
    raise UserError(f"{where} must be I/K, I from 1 to K and K at least 2, such as 1/5; found {value!r}")


def _names(value: Any, where: str) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not parts or not all(isinstance(p, str) and p.strip() for p in parts):
        raise UserError(f"{where} must be a list of task names such as sst,qqp; found {value!r}")
    names = tuple(part.strip() for part in parts)
    if len(set(names)) != len(names):
        raise UserError(f"{where} names a task twice: {','.join(names)}")
    return names


def _per_task(option: Option, value: Any, where: str) -> PerTask[Any] | NamedTasks:
    if isinstance(value, str) and "=" in value:
        entries: dict[str, Any] = {}
        for part in value.split(","):
            task, sign, number = part.partition("=")
            if not sign or not task.strip() or task.strip() in entries:
                raise UserError(f"{where} must be one number or task=number,… with each task once; found {value!r}")
            entries[task.strip()] = number
        value = entries
    if isinstance(value, Mapping):
        entries = dict(value)
        default = PerTask(read_number(option, entries.pop("default"), where)) if "default" in entries else None
        named = NamedTasks({task: read_number(option, v, where) for task, v in entries.items()})
        return named if default is None else named.on(default)
    return PerTask(read_number(option, value, where))


def read_number(option: Option, value: Any, where: str) -> Any:
    """Return `value` as the option's int or float, inside its limits; a UserError names `where`."""
    whole = option.type.endswith("int")
    kind = "a whole number" if whole else "a number"
    try:
        if isinstance(value, bool):
            raise ValueError
        number: float | int = (int(value) if isinstance(value, str | int) else _whole(value)) if whole else float(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where} must be {kind}, found {value!r}") from None
    low, high = option.low, option.high
    fits = math.isfinite(number)
    fits = fits and (low is None or (number > low if option.above_low else number >= low))
    fits = fits and (high is None or (number < high if option.below_high else number <= high))
    if not fits:
        raise UserError(f"{where} must be {kind}{_limits(option)}, found {value}")
    return number


def _whole(value: Any) -> int:
    if value != int(value):
        raise ValueError
    return int(value)


def _limits(option: Option) -> str:
    low = "" if option.low is None else f"{'above' if option.above_low else 'at least'} {option.low:g}"
    high = "" if option.high is None else f"{'below' if option.below_high else 'at most'} {option.high:g}"
    return " " + " and ".join(part for part in (low, high) if part) if low or high else ""


def check_task_names(settings: Settings, known: tuple[str, ...]) -> None:
    """Raise a UserError when an option names a task that the table lacks (`--lambda sts=1,foo=2`)."""
    named = [("--tasks", settings.tasks or ())]
    for key in ("epochs", "batch_size", "label_smoothing", "ordinal", "task_weights", "swap_pairs", "lambda", "mu"):
        value = cast("PerTask[Any]", getattr(settings, field_of(key)))
        named.append((OPTION_OF[key].flag, tuple(task for task, _ in value.by_task)))
    for flag, tasks in named:
        for task in tasks:
            if task not in known:
                raise UserError(
                    f'{flag}: there is no task "{task}"; expected one of {", ".join(known)}{suggest(task, known)}'
                )
