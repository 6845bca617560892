"""`smart checkpoints export`: a registered model as folders that other tools load, one a task."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.atomic import DISK, new_folder
from smartcli.errors import SmartCliError, UserError, suggest
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Task
from smartcli.workflows.checkpoints.export_card import export_card, limits
from smartcli.workflows.scoring.sources import Say, silent

if TYPE_CHECKING:
    from smartcli.workflows.scoring.model_outputs import LoadedModel

FORMATS = ("hf", "onnx")
TOKENIZER = "tokenizer.json"
NAMES_OF_PAD = ("[PAD]", "<pad>")
DROPPED = ("auto_map", "torch_dtype", "dtype", "_name_or_path", "num_labels", "finetuning_task", "architectures")
"""Keys of the encoder's config.json that are about another model, or about how its weights were stored."""
KINDS = {
    "classification": "single_label_classification",
    "binary": "multi_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}
"""Kind of a task -> `problem_type`; a sigmoid on each output is the second."""
SEVERAL = ("classification", "multilabel")
"""Kinds with an output a class."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class Exported:
    """What was written: each task's folder, the tasks left out with the reason, and what the format cannot hold."""

    folders: dict[str, Path]
    left_out: dict[str, str]
    limits: list[str]


def export_checkpoint(
    home: Home, name: str, output: Path, file_format: str, say: Say = silent, *, int8: bool = False
) -> Exported:
    """Write `output`/TASK/ for every task of the checkpoint that the format can hold; all of them or nothing.

    With `int8` the weights of an ONNX graph are whole numbers. UserError where the format can hold none of the tasks,
    and for an ensemble, which is no single model.
    """
    if file_format not in FORMATS:
        raise UserError(
            f'--format must be one of {", ".join(FORMATS)}; found "{file_format}"{suggest(file_format, FORMATS)}'
        )
    if int8 and file_format != "onnx":
        raise UserError(f"--int8 belongs to --format onnx; transformers' files (--format {file_format}) are in fp32")
    check_output(output)
    checkpoint = Registry(home).open(name)
    if checkpoint.kind == "ensemble":
        members = ", ".join(entry.name for entry in checkpoint.meta.lineage.members)
        raise UserError(f'"{name}" is an ensemble, which no format holds as one model; export its members: {members}')
    if file_format == "onnx":
        from smartcli.engine.export.export_onnx import check_installed

        check_installed()
        if int8:
            from smartcli.engine.export.onnx_int8 import check_installed as check_quantiser

            check_quantiser()
    from smartcli.workflows.scoring.model_outputs import LoadedModel

    loaded = LoadedModel(home, checkpoint)
    loaded.model.cpu()
    refused = {task.name: reason for task in loaded.tasks if file_format == "hf" and (reason := _refused(loaded, task))}
    if len(refused) == len(loaded.tasks):
        each = "; ".join(f"{task}: {reason}" for task, reason in refused.items())
        raise UserError(f'"{name}" cannot be written as {file_format}: {each}')
    write = _hf_folder if file_format == "hf" else partial(_onnx_folder, int8=int8)
    kept = [task for task in loaded.tasks if task.name not in refused]
    with new_folder(output, replace=output.exists()) as temp:
        for task in kept:
            say(f"{name}: writing {task.name}")
            DISK.make_folder(temp / task.name)
            write(loaded, task, temp / task.name)
    notes = list(dict.fromkeys(line for task in kept for line in limits(loaded.checkpoint.meta, task, file_format)))
    return Exported({task.name: output / task.name for task in kept}, refused, notes)


def check_output(output: Path) -> None:
    """UserError where `output` is a file, or a folder that holds something."""
    if output.is_dir() and not output.is_symlink() and not any(output.iterdir()):
        return
    if os.path.lexists(output):
        raise UserError(f"--output {output}: exists already; expected a new or empty folder")


def _refused(loaded: LoadedModel, task: Task) -> str:
    """Return why transformers' classifier of this type cannot hold the task, or nothing."""
    from smartcli.engine.export.export_heads import rows_needed

    model, use = loaded.model, "use --format onnx"
    place = model.encoder.spec.family.classifier
    if model.pooling == "mean" and place.pooling_key is None:
        return f"a sequence classifier reads the first token, and this model the mean of all (--pooling mean); {use}"
    if task.pair and model.pair_mode != "concat":
        return f"a sequence classifier reads both sentences as one input (--pair-mode is {model.pair_mode}); {use}"
    outputs = task.classes if task.kind in SEVERAL else 1
    if rows_needed(place, outputs) > model.encoder.spec.hidden_size:
        return f"{outputs} classes are more than half the encoder's width, so {place.architecture} is not exact; {use}"
    return ""


def _hf_folder(loaded: LoadedModel, task: Task, folder: Path) -> None:
    from smartcli.engine.export.export_heads import classifier_bytes

    try:
        weights, _ = classifier_bytes(loaded.model, task.name)
    except ValueError as error:
        raise SmartCliError(
            f'"{loaded.checkpoint.name}" cannot be written as hf: {task.name}: {error}; use --format onnx'
        ) from error
    place = loaded.model.encoder.spec.family.classifier
    config = _config(loaded, task) | {"architectures": [place.architecture], **place.config}
    if place.pooling_key is not None:
        config[place.pooling_key] = "mean" if loaded.model.pooling == "mean" else "cls"
    # sentence-transformers puts a sigmoid on a single output and none on several, unless it is told otherwise.
    told = {"regression": "linear.Identity", "multilabel": "activation.Sigmoid"}.get(task.kind)
    if told is not None:
        config["sentence_transformers"] = {"activation_fn": f"torch.nn.modules.{told}"}
    _write(folder, {"config.json": _pretty(config), "model.safetensors": weights, **_texts(loaded, task, "hf")})


def _onnx_folder(loaded: LoadedModel, task: Task, folder: Path, *, int8: bool) -> None:
    from smartcli.engine.export.export_onnx import onnx_bytes

    sides = 2 if task.pair and loaded.model.pair_mode != "concat" else 1
    graph = onnx_bytes(
        loaded.model,
        task.name,
        sides=sides,
        types=_uses_types(loaded),
        longest=loaded.reader.max_length,
    )
    if int8:
        from smartcli.engine.export.onnx_int8 import quantised

        graph = quantised(graph)
    _write(folder, {"config.json": _pretty(_config(loaded, task)), "model.onnx": graph, **_texts(loaded, task, "onnx")})


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        DISK.write(folder / name, content)


def _texts(loaded: LoadedModel, task: Task, file_format: str) -> Files:
    return {
        TOKENIZER: loaded.tokenizer.to_json().encode(),
        "tokenizer_config.json": _pretty(_tokenizer_config(loaded)),
        "README.md": export_card(loaded.checkpoint.meta, task, file_format, types=_uses_types(loaded)).encode(),
    }


def _config(loaded: LoadedModel, task: Task) -> dict[str, Any]:
    """Return the encoder's config.json with the task's labels."""
    config: dict[str, Any] = json.loads(loaded.checkpoint.read("config.json"))
    labels = list(task.labels) if task.kind in SEVERAL else [task.labels[1] if task.labels else task.name]
    kind = KINDS[task.kind]
    if task.kind == "binary" and not loaded.model.head(task.name).scalar:
        labels, kind = list(task.labels), KINDS["classification"]
    return {key: value for key, value in config.items() if key not in DROPPED} | {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        "problem_type": kind,
    }


def _uses_types(loaded: LoadedModel) -> bool:
    template = loaded.tokenizer.template
    return loaded.model.encoder.spec.family.type_ids and any(template.single_types + template.pair_types)


def _tokenizer_config(loaded: LoadedModel) -> dict[str, Any]:
    """Return what transformers needs beside tokenizer.json: the longest input, and which tokens are special."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(loaded.tokenizer.to_json())
    template = loaded.tokenizer.template
    name_of: Callable[[int], str | None] = tokenizer.id_to_token
    known = tokenizer.get_vocab(with_added_tokens=True)
    pad = json.loads(loaded.checkpoint.read("config.json")).get("pad_token_id")
    found = {
        "cls_token": name_of(template.single_prefix[0]) if template.single_prefix else None,
        "sep_token": name_of(template.single_suffix[-1]) if template.single_suffix else None,
        "pad_token": name_of(pad) if isinstance(pad, int) else next((n for n in NAMES_OF_PAD if n in known), None),
        "unk_token": getattr(tokenizer.model, "unk_token", None),
        "mask_token": next((name for name in ("[MASK]", "<mask>") if name in known), None),
    }
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if _uses_types(loaded) else [])]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": loaded.reader.max_length,
        "model_input_names": inputs,
        "clean_up_tokenization_spaces": False,
        **{key: token for key, token in found.items() if token is not None},
    }


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
