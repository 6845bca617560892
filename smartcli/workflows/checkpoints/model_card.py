"""The model card that stands in a checkpoint as README.md."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from smartcli.registry.meta import CheckpointMeta, EncoderRecord
from smartcli.visible import code_span, markdown


def model_card(meta: CheckpointMeta) -> str:
    """Return a short page in Markdown: what the checkpoint is, how it was trained and chosen, and its scores."""
    data, encoder = meta.data, meta.encoder or EncoderRecord()
    lines = [f"# {meta.name}", "", f"A `{meta.kind}` checkpoint of smart-finetune: {markdown(meta.method)}.", ""]
    lines += ["| task | metric | dev | rows |", "|---|---|---|---|"]
    for task, scores in meta.metrics.items():
        if isinstance(scores, Mapping):
            metric = next(key for key in scores if key != "n")
            value = "–" if scores[metric] is None else f"{scores[metric]:.3f}"
            lines.append(f"| {markdown(task)} | {metric} | {value} | {scores['n']} |")
    overall = meta.overall
    if meta.kind == "soup":
        members = ", ".join(one.name for one in meta.lineage.members)
        made = f"- the mean of the weights of: {members}"
        if meta.lineage.selection is not None:
            made += "; chosen on one half of dev, the scores are those of the other half"
    else:
        chosen = f"epoch {meta.best_epoch}, by dev score" if meta.settings.get("keep") == "best" else "the last epoch"
        made = f"- seed {meta.settings.get('seed')}, chosen: {chosen}"
    lines += [
        "",
        f"Overall: {'–' if overall is None else f'{overall:.3f}'}.",
        "",
        f"- data set: {markdown(data.name)} ({data.fingerprint[:12]})",
        f"- encoder: {markdown(encoder.id)}{encoder.revision_words}",
        made,
        f"- made by: {code_span(shlex.join(meta.command))}",
        "",
    ]
    if encoder.id == "minilm":
        lines += ["The encoder's own training had seen some Quora question pairs.", ""]
    return "\n".join(lines)
