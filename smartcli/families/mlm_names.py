"""Where an encoder's files hold the head of their masked language model, if they do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from smartcli.families.safetensors_header import FLOATS, read_header
from smartcli.families.spec import EncoderSpec
from smartcli.families.weights import weight_files

_BERT = {
    "dense.weight": ("cls.predictions.transform.dense.weight",),
    "dense.bias": ("cls.predictions.transform.dense.bias",),
    "norm.weight": ("cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.gamma"),
    "norm.bias": ("cls.predictions.transform.LayerNorm.bias", "cls.predictions.transform.LayerNorm.beta"),
    "bias": ("cls.predictions.bias", "cls.predictions.decoder.bias"),
}
_LM_HEAD = {
    "dense.weight": ("lm_head.dense.weight",),
    "dense.bias": ("lm_head.dense.bias",),
    "norm.weight": ("lm_head.layer_norm.weight",),
    "norm.bias": ("lm_head.layer_norm.bias",),
    "bias": ("lm_head.bias", "lm_head.decoder.bias"),
}
_DISTILBERT = {
    "dense.weight": ("vocab_transform.weight",),
    "dense.bias": ("vocab_transform.bias",),
    "norm.weight": ("vocab_layer_norm.weight",),
    "norm.bias": ("vocab_layer_norm.bias",),
    "bias": ("vocab_projector.bias",),
}
_GENERATOR = {
    "dense.weight": ("generator_predictions.dense.weight",),
    "dense.bias": ("generator_predictions.dense.bias",),
    "norm.weight": ("generator_predictions.LayerNorm.weight",),
    "norm.bias": ("generator_predictions.LayerNorm.bias",),
    "bias": ("generator_lm_head.bias",),
}
_MODERNBERT = {
    "dense.weight": ("head.dense.weight",),
    "dense.bias": ("head.dense.bias",),
    "norm.weight": ("head.norm.weight",),
    "norm.bias": ("head.norm.bias",),
    "bias": ("decoder.bias",),
}
HEADS: tuple[Mapping[str, tuple[str, ...]], ...] = (_BERT, _LM_HEAD, _DISTILBERT, _GENERATOR, _MODERNBERT)
"""Each type's names for dense layer, LayerNorm and the words' biases; the output layer is the table of embeddings."""
MAY_LACK = ("head.dense.bias", "head.norm.bias")
"""Biases that a type's head may do without; they are 0 then."""
UNTIED = (
    "cls.predictions.decoder.weight",
    "lm_head.decoder.weight",
    "vocab_projector.weight",
    "generator_lm_head.weight",
    "decoder.weight",
)
"""An output layer of its own, which stands in files that do not tie it, and in some that do."""


def mlm_shapes(spec: EncoderSpec) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of such a head: D to E, LayerNorm, and a bias a word."""
    narrow = spec.embedding_size
    return {
        "dense.weight": (narrow, spec.hidden_size),
        "dense.bias": (narrow,),
        "norm.weight": (narrow,),
        "norm.bias": (narrow,),
        "bias": (spec.vocab_size,),
    }


def find_mlm_head(folder: Path, spec: EncoderSpec) -> dict[str, tuple[Path, str]] | None:
    """Return file and name of each tensor of the head; None where the files hold none that is whole.

    A bias that the type may do without is not there where the files lack it. `untied` is there too where the files have
    an output layer of its own.
    """
    holder = {name: path for path in weight_files(folder) for name in read_header(path)}
    infos = {name: info for path in set(holder.values()) for name, info in read_header(path).items()}
    shapes = mlm_shapes(spec)
    for names in HEADS:
        found = {
            part: next((one for one in known if one in infos), "")
            for part, known in names.items()
            if known[0] in infos or known[0] not in MAY_LACK
        }
        fits = all(
            name and infos[name].shape == shapes[part] and infos[name].dtype in FLOATS for part, name in found.items()
        )
        if fits:
            untied = next((name for name in UNTIED if name in infos), None)
            own = found if untied is None else {**found, "untied": untied}
            return {part: (holder[name], name) for part, name in own.items()}
    return None
