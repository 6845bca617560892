"""Where settings come from: TOML files of options, recipes and encoder presets, each checked as it is read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

from smartcli.config import Settings, changed, read_value
from smartcli.errors import UserError, suggest
from smartcli.families.files import read_object
from smartcli.option_table import OPTION_OF

LOOSE: dict[str, type] = {
    "name": str,
    "recipe": str,
    "resume": str,
    "dry_run": bool,
    "paper_optimizer": bool,
    "track": list,
}
"""Training options that are no settings: they say where settings come from and go to."""
OPTIMIZER = frozenset({"lr", "lr_schedule", "warmup", "weight_decay", "clip_norm", "epochs", "batch_size"})
"""What `--paper-optimizer` takes from the paper in place of the encoder's preset."""


@dataclass(frozen=True)
class SettingSource:
    """Options of one source: checked `values` by option key, and for messages the place of each."""

    source: str
    values: dict[str, Any]
    where: dict[str, str]

    def put_on(self, settings: Settings) -> Settings:
        """Return `settings` with this source's values on top."""
        return changed(settings, {key: value for key, value in self.values.items() if key in OPTION_OF})


def flag_source(flags: Mapping[str, Any]) -> SettingSource:
    """Return what the command line gives."""
    place = "command line"
    values = {key: read_value(key, value, place) if key in OPTION_OF else value for key, value in flags.items()}
    return SettingSource(place, values, dict.fromkeys(flags, place))


def config_source(path: Path) -> SettingSource:
    """Read a `--config` file: a TOML file whose keys are training options, with `-` or `_`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"--config {path}: expected UTF-8 text, found byte {error.object[error.start]:#04x}") from error
    except OSError as error:
        raise UserError(f"--config {path}: cannot be read ({error.strerror}); expected a TOML file") from error
    return _checked_source(_parse(text, str(path)), text, str(path), "--config")


def recipe_names() -> list[str]:
    """Return the names that `--recipe` takes."""
    return _names("recipe-")


def recipe_source(name: str) -> SettingSource:
    """Return the named settings of `recipes/recipe-NAME.toml`."""
    known = recipe_names()
    if name not in known:
        raise UserError(
            f'--recipe: there is no recipe "{name}"; expected one of {", ".join(known)}{suggest(name, known)}'
        )
    text = _packaged(f"recipe-{name}.toml")
    values = _parse(text, f"recipe {name}")
    values.pop("about", None)
    return _checked_source(values, text, f"recipe {name}", f"recipe {name}")


def preset_source(encoder: str) -> SettingSource | None:
    """Return the settings that suit `encoder` (an id or folder), where a preset knows its name or, for a folder, type.

    An id's type does not count: it is known only once the encoder was fetched, and the same command must always give
    the same settings.
    """
    short = encoder.rstrip("/").rsplit("/", 1)[-1].lower()
    kind = _type_in(Path(encoder).expanduser())
    for name in _names("preset-"):
        text = _packaged(f"preset-{name}.toml")
        values = _parse(text, f"preset {name}")
        patterns, types = values.pop("encoders"), values.pop("types", [])
        by_name = any(fnmatch(short, pattern) for pattern in patterns)
        if kind in types or (by_name and (kind is None or not types)):
            return _checked_source(values, text, f"preset {name}", f"preset {name}")
    return None


def _type_in(folder: Path) -> str | None:
    """Return the type that `folder`/config.json names; None where there is none that can be read."""
    try:
        kind = read_object(folder / "config.json").get("model_type")
    except UserError:
        # Not a folder, or a damaged one, which whoever opens the encoder says.
        return None
    return kind if isinstance(kind, str) else None


def _names(prefix: str) -> list[str]:
    found = sorted(path.name for path in files("smartcli.recipes").iterdir())
    return [name.removeprefix(prefix).removesuffix(".toml") for name in found if name.startswith(prefix)]


def _packaged(file: str) -> str:
    return files("smartcli.recipes").joinpath(file).read_text(encoding="utf-8")


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and what int() and date() raise inside tomllib
        line = re.search(r"line (\d+)", str(error))
        place = f"{where}:{line.group(1)}" if line else where
        raise UserError(f"{place}: this is not valid TOML: {error}") from error
    except RecursionError as error:
        raise UserError(f"{where}: the TOML is nested too deeply; expected keys and values only") from error


def _line_of(key: str, text: str) -> int | None:
    pattern = re.compile(rf"\s*\[?\s*[\"']?{re.escape(key)}[\"']?\s*[.=\]]")
    return next((at for at, line in enumerate(text.splitlines(), start=1) if pattern.match(line)), None)


def _checked_source(raw: Mapping[str, Any], text: str, where: str, source: str) -> SettingSource:
    """Check keys and values of a file, each against its own line."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for raw_key, value in raw.items():
        key = raw_key.replace("-", "_")
        line = _line_of(raw_key, text)
        place = f"{where}:{line}" if line else where
        if key in values:
            raise UserError(f'{place}: "{key}" stands twice, once with "-" and once with "_"; keep one')
        if key in LOOSE:
            _check_loose(key, value, place)
        elif key not in OPTION_OF:
            raise UserError(f'{place}: unknown key "{raw_key}"{suggest(key, [*OPTION_OF, *LOOSE]) or _known()}')
        else:
            value = read_value(key, value, place)
        values[key], places[key] = value, place
    return SettingSource(source, values, places)


def _known() -> str:
    return f"; expected a training option: {', '.join([*OPTION_OF, *LOOSE])}"


def _check_loose(key: str, value: Any, place: str) -> None:
    words = all(isinstance(one, str) and one for one in value) if isinstance(value, list) else value != ""
    if not isinstance(value, LOOSE[key]) or not words:
        kind = {bool: "true or false", list: "a list of non-empty strings"}.get(LOOSE[key], "a non-empty string")
        raise UserError(f'{place}: "{key}" must be {kind}, found {value!r}')
