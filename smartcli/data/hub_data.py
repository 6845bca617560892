"""The paper's tasks from Hugging Face data sets, by their own splits or divided 70/10/20."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path

from smartcli.data.accept import SplitSource
from smartcli.data.divide import SEED, divide
from smartcli.data.paper import HubSource, paper
from smartcli.data.reading import Reading, read_splits
from smartcli.data.saving import RowSink
from smartcli.errors import SmartCliError, UserError
from smartcli.families.hub_checks import check_cached
from smartcli.families.hub_client import HubFiles, cache_folder, fetch, is_offline, library
from smartcli.families.hub_errors import HubUnreachable
from smartcli.tasks import SPLITS, Split

ADVICE = "`smart prepare demo` needs no network, `smart prepare cs224n --path DIR` reads the course's files"
READABLE = (".jsonl", ".parquet")


def read_hub(
    sink: RowSink, *, splits: str = "paper", strict: bool = False, say: Callable[[str], None] = lambda line: None
) -> tuple[Reading, list[str]]:
    """Fetch the three data sets and read them into `sink`; also return notes on commits and divisions.

    `splits` is paper or official, see recipes/tasks-paper.toml. UserError and SmartCliError as the hub client
    and the readers raise them.
    """
    recipe = paper()
    sources: list[SplitSource] = []
    divided: list[str] = []
    notes: list[str] = []
    for source in recipe.sources:
        found = _files(source, say)
        notes.append(f"{source.task}: {source.repo} at commit {found.revision}")
        paths = _by_split(source, _listed(found.folder))
        whole = (splits == "paper" and source.divided) or set(paths) == {"train"}
        if whole:
            paths = {"train": [path for split in SPLITS for path in paths.get(split, [])]}
            divided.append(source.task)
        task = recipe.table.get(source.task)
        sources += [
            SplitSource(task, split, tuple(found.folder / path for path in names), source.text, source.label)
            for split, names in paths.items()
        ]
    scales = {source.task: source.scale for source in recipe.sources}
    reading = read_splits(recipe.table, sources, sink, strict=strict, scales=scales)
    for name in divided:
        count = divide(sink, name)
        notes.append(
            f"{name}: {count:,} rows divided 70/10/20 by a seeded order (seed {SEED}); the paper's own seed is unknown"
        )
    return reading, notes


def _files(source: HubSource, say: Callable[[str], None]) -> HubFiles:
    def choose(paths: Sequence[str]) -> Sequence[str]:
        return [path for names in _by_split(source, paths).values() for path in names]

    if not is_offline():
        try:
            return fetch(source.repo, None, choose, repo_type="dataset", advice=ADVICE, say=say)
        except HubUnreachable:
            cached = _cached(source)
            if cached is None:
                raise
            say(f"the hub cannot be reached; taking {source.repo} from the cache, commit {cached.revision}")
            return cached
    cached = _cached(source)
    if cached is None:
        raise SmartCliError(
            f"{source.repo}: HF_HUB_OFFLINE is set and the cache ({cache_folder()}) does not hold this data set; "
            f"unset it to download; {ADVICE}"
        )
    return cached


def _cached(source: HubSource) -> HubFiles | None:
    try:
        # The library calls a snapshot whole only if it holds all that the patterns ask for.
        folder = library().snapshot_download(
            source.repo,
            repo_type="dataset",
            cache_dir=cache_folder(),
            allow_patterns=list(source.files.values()),
            local_files_only=True,
        )
    except OSError:
        return None
    check_cached(Path(folder), source.repo)
    return HubFiles(source.repo, Path(folder).name, Path(folder))


def _listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _by_split(source: HubSource, paths: Sequence[str]) -> dict[Split, list[str]]:
    readable = [path for path in paths if path.endswith(READABLE)]
    found = {split: fnmatch.filter(readable, pattern) for split, pattern in source.files.items()}
    missing = [split for split, names in found.items() if not names]
    if missing:
        patterns = ", ".join(f"{split}: {source.files[split]}" for split in missing)
        there = ", ".join(list(paths)[:8]) or "nothing"
        raise UserError(f"{source.repo}: the data set has no file for {patterns}; found {there}; {ADVICE}")
    return found
