"""The page of a repository on a hub: metadata that the hub reads, and what a person wants to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smartcli.data.paper import paper
from smartcli.families.encoder_files import MINILM
from smartcli.families.hub_client import library
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.meta import CheckpointMeta, EncoderRecord
from smartcli.visible import code_span, markdown

MINILM_ID, MINILM_LICENCE = "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"
"""What the package behind `minilm` holds, as its own README says."""
HUB_SOURCE = "hub"
_METRICS = {"pearson": "pearsonr", "spearman": "spearmanr", "mcc": "matthews_correlation", "f1": "f1"}
"""Our metrics that the hub's list calls otherwise, or files among others."""


def base_models(meta: CheckpointMeta) -> list[str]:
    """Return the hub ids of the encoders; a folder's path is left out, since it means nothing elsewhere."""
    ids = [MINILM_ID if one == MINILM else one for one in meta.encoder_ids]
    return [one for one in dict.fromkeys(ids) if one and not Path(one).is_absolute()]


def hub_card(
    checkpoint: Checkpoint,
    repository: str,
    licence: str | None,
    exported: Sequence[str],
    left_out: Mapping[str, str],
) -> str:
    """Return README.md: YAML metadata with the dev scores as `model-index`, then the page itself.

    `licence` is the hub's word for one, or None where it is not known; `exported` are the tasks that have a folder
    for transformers, `left_out` those that have none, with the reason.
    """
    hub = library()
    meta = checkpoint.meta
    data = hub.ModelCardData(
        license=licence or "unknown",
        library_name="smart-finetune",
        pipeline_tag="text-classification",
        base_model=base_models(meta) or None,
        datasets=_data_sets(meta) or None,
        tags=["smart-finetune", "smart-regularization", *(["ensemble"] if meta.ensemble else [])],
        model_name=meta.name,
        eval_results=_results(hub, meta) or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_page(checkpoint, repository, licence, exported, left_out)}"


def _data_sets(meta: CheckpointMeta) -> list[str]:
    """Return the hub ids of the data, where it was prepared from the hub."""
    if meta.data.source != HUB_SOURCE:
        return []
    return list(dict.fromkeys(source.repo for source in paper().sources if source.task in meta.task_names))


def _results(hub: Any, meta: CheckpointMeta) -> list[Any]:
    kinds = {str(task["name"]): str(task.get("kind")) for task in meta.all_tasks}
    found = []
    for task, metric, value in _scores(meta):
        found.append(
            hub.EvalResult(
                task_type="text-classification",
                task_name=f"{task} ({kinds.get(task, 'task')})",
                dataset_type=meta.data.name,
                dataset_name=f"{meta.data.name}: {task}",
                # Results of one data set and configuration would become one entry.
                dataset_config=task,
                dataset_split="dev",
                metric_type=_METRICS.get(metric, metric),
                metric_name=metric,
                metric_value=value,
            )
        )
    return found


def _scores(meta: CheckpointMeta) -> list[tuple[str, str, float]]:
    """Return task, metric and value of each score that there is."""
    return [
        (task, metric, float(value))
        for task, scores in meta.metrics.items()
        if isinstance(scores, Mapping)
        for metric, value in scores.items()
        if metric != "n" and value is not None
    ]


def _page(
    checkpoint: Checkpoint,
    repository: str,
    licence: str | None,
    exported: Sequence[str],
    left_out: Mapping[str, str],
) -> str:
    meta = checkpoint.meta
    lines = [f"# {meta.name}", "", f"A `{meta.kind}` checkpoint of smart-finetune: {markdown(meta.method)}.", ""]
    lines += ["| task | metric | dev | rows |", "|---|---|---|---|"]
    for task, metric, value in _scores(meta):
        lines.append(f"| {markdown(task)} | {metric} | {value:.3f} | {meta.metrics[task].get('n', '–')} |")
    lines += [
        "",
        f"Overall: {'–' if meta.overall is None else f'{meta.overall:.3f}'}. Chosen on the same dev rows.",
        "",
    ]
    lines += _use(repository, exported)
    for task, reason in left_out.items():
        lines += [f"There is no folder for {markdown(task)}: {markdown(reason)}.", ""]
    lines += ["## Where it comes from", "", *_origin(checkpoint, licence), ""]
    if MINILM in meta.encoder_ids:
        lines += ["The encoder's own training had seen some Quora question pairs.", ""]
    return "\n".join(lines)


def _use(repository: str, exported: Sequence[str]) -> list[str]:
    lines = ["## Use", "", "```text", f"smart checkpoints pull {repository}", "```", ""]
    if exported:
        lines += [
            f"With transformers alone, one folder a task ({', '.join(map(markdown, exported))}):",
            "",
            "```python",
            "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
            "",
            f'tokenizer = AutoTokenizer.from_pretrained("{repository}", subfolder="hf/{exported[0]}")',
            "model = AutoModelForSequenceClassification.from_pretrained(",
            f'    "{repository}", subfolder="hf/{exported[0]}"',
            ")",
            "```",
            "",
        ]
    return lines


def _origin(checkpoint: Checkpoint, licence: str | None) -> list[str]:
    meta = checkpoint.meta
    encoder, lineage = meta.encoder or EncoderRecord(), meta.lineage
    known = base_models(meta)
    lines = [f"- data set: {markdown(meta.data.name)}, fingerprint {code_span(meta.data.fingerprint)}"]
    lines.append(f"- encoder: {', '.join(map(markdown, known)) or 'a folder of its own'}{encoder.revision_words}")
    lines.append(f"- licence of the encoder: {licence or 'not known'}")
    if lineage.init is not None:
        lines.append(f"- started from: {_named(lineage.init.name, lineage.init.manifest)}")
    for member in lineage.members:
        lines.append(f"- member: {_named(member.name, member.manifest)}")
    if meta.settings:
        lines.append(f"- seed {meta.settings.get('seed')}, {meta.steps or '–'} steps")
    lines.append(f"- manifest: {code_span(checkpoint.manifest_hash)}")
    return lines


def _named(name: str, manifest: str | None) -> str:
    return markdown(name) + (f" ({code_span(manifest)})" if manifest else "")
