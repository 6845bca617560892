"""Models from an encoder's files or a checkpoint's, and their bytes for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from smartcli.config import Settings
from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.encoder_tensors import canonical_tensors, fill
from smartcli.engine.model.multitask import MultiTaskModel, fill_heads, head_tensors
from smartcli.errors import SmartCliError, UserError
from smartcli.families.spec import EncoderSpec
from smartcli.families.weights import EncoderWeights, hf_names, open_weights
from smartcli.tasks import TaskTable

METADATA = {"format": "pt"}
"""The only metadata: safetensors writes several keys in random order, and equal weights shall be equal bytes."""


def read_weights(weights: EncoderWeights) -> dict[str, Tensor]:
    """Return every encoder tensor in fp32 under its canonical name; a NaN or inf is an error naming it."""
    out: dict[str, Tensor] = {}
    for path in dict.fromkeys(weights.file_of.values()):
        with safe_open(path, framework="pt") as file:
            for canonical, holder in weights.file_of.items():
                if holder == path:
                    out[canonical] = file.get_tensor(weights.name_of[canonical]).float()
    for canonical, tensor in out.items():
        if not bool(torch.isfinite(tensor).all()):
            raise SmartCliError(f'{weights.file_of[canonical]}: "{weights.name_of[canonical]}" holds a NaN or infinity')
    return out


def build_model(folder: Path, spec: EncoderSpec, tasks: TaskTable, settings: Settings) -> MultiTaskModel:
    """Return a model with the encoder of `folder` and heads without weights yet, with the settings' dropouts."""
    weights = open_weights(folder, spec)
    if settings.pooling == "pooler" and not weights.has_pooler:
        raise UserError(f"--pooling pooler: the encoder has no pooler ({folder}); use --pooling cls or mean")
    # On the meta device no initial values are drawn: the file's weights replace them at once.
    with torch.device("meta"):
        encoder = Encoder(spec, pooler=weights.has_pooler)
    encoder.to_empty(device="cpu")
    fill(encoder, read_weights(weights))
    encoder.dropout = settings.dropout
    if settings.attention_dropout is not None:
        encoder.attention_dropout = settings.attention_dropout
    return MultiTaskModel(encoder, tasks, pair_mode=settings.pair_mode, pooling=settings.pooling)


def start_heads(model: MultiTaskModel, seed: int, means: Mapping[str, float]) -> None:
    """Give every head fresh weights from its own stream; `means` has the train mean of each regression task."""
    for name in model.tasks.names:
        model.head(name).start(seed, means.get(name, 0.0))


def encoder_bytes(model: MultiTaskModel) -> bytes:
    """Return the encoder as safetensors under its type's Hugging Face names; equal weights give equal bytes."""
    names = hf_names(model.encoder.spec, pooler=model.encoder.pooler is not None)
    tensors = canonical_tensors(model.encoder)
    return save({own: tensors[name].cpu().clone() for name, own in names.items()}, METADATA)


def head_bytes(model: MultiTaskModel) -> bytes:
    """Return all heads as safetensors."""
    return save({name: tensor.cpu().clone() for name, tensor in head_tensors(model).items()}, METADATA)


def module_bytes(module: nn.Module) -> bytes:
    """Return a module's parameters as safetensors under their own names."""
    return save({name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}, METADATA)


def load_heads(model: MultiTaskModel, raw: bytes, tasks: tuple[str, ...], where: str) -> None:
    """Fill the heads of `tasks` from the bytes of a heads.safetensors; names, shapes and values are checked."""
    stored = load(raw)
    own = head_tensors(model)
    for task in tasks:
        for part in ("weight", "bias"):
            name = f"{task}.{part}"
            if name not in own:
                continue
            if name not in stored or stored[name].shape != own[name].shape:
                found = f"shape {list(stored[name].shape)}" if name in stored else "none"
                raise SmartCliError(f'{where}: "{name}" should have shape {list(own[name].shape)}, found {found}')
            if not bool(torch.isfinite(stored[name]).all()):
                raise SmartCliError(f'{where}: "{name}" holds a NaN or infinity')
    fill_heads(model, stored, tasks)
