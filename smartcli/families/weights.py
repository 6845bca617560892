"""From the tensors in an encoder's files to the parameters of the encoder, by name alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smartcli.errors import UserError
from smartcli.families.files import read_object
from smartcli.families.part_shapes import beside_layers, own_positions
from smartcli.families.safetensors_header import FLOATS, TensorInfo, read_header
from smartcli.families.spec import EncoderSpec

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
INSIDE = ("embeddings.", "embeddings_project.", "encoder.", "transformer.", "pooler.")
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}
PICKLE_ADVICE = (
    "pickled weights are never loaded, since they can run code. Convert once, elsewhere: load the model with "
    "transformers and call save_pretrained(FOLDER, safe_serialization=True); or give --revision with a revision "
    "that holds a converted file (on the hub often refs/pr/N)"
)


@dataclass(frozen=True)
class WeightMap:
    """Which tensor of the files is which parameter."""

    by_canonical: dict[str, str]
    """Canonical parameter name -> name in the file."""
    ignored: tuple[str, ...]
    """Names in the file that are no part of the encoder (heads, buffers)."""
    has_pooler: bool


@dataclass(frozen=True)
class EncoderWeights:
    """The files of an encoder, checked against its spec: where each parameter is and how it is stored."""

    spec: EncoderSpec
    file_of: dict[str, Path]
    """Canonical parameter name -> safetensors file."""
    name_of: dict[str, str]
    """Canonical parameter name -> name in that file."""
    stored_as: tuple[str, ...]
    """Types other than F32 among the parameters, for example ("F16",); they are cast to fp32."""
    ignored: tuple[str, ...]
    has_pooler: bool
    notes: tuple[str, ...] = field(default=())
    """Lines worth telling the user: what was ignored, what was cast."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of `folder`: the single one, or the shards that the index names.

    Pickled weights are refused with what to do about them; so is an index that leads out of the folder.
    """
    if (folder / SINGLE).exists():
        return (folder / SINGLE,)
    if (folder / INDEX).exists():
        return tuple(dict.fromkeys(_shards(folder).values()))
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        raise UserError(f"{folder}: no {SINGLE}, only {', '.join(pickled[:4])}: {PICKLE_ADVICE}")
    raise UserError(f"{folder}: no {SINGLE}; an encoder folder holds config.json, {SINGLE} and tokenizer.json")


def _shards(folder: Path) -> dict[str, Path]:
    index = folder / INDEX
    entries = read_object(index, limit=25_000_000).get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise UserError(f'{index}: no "weight_map"; expected tensor names and the files that hold them')
    shards: dict[str, Path] = {}
    for tensor, name in entries.items():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(
                f"{index}: {json.dumps(tensor)} is said to be in {name!r}; expected a .safetensors file beside it"
            )
        shards[tensor] = folder / name
    for path in dict.fromkeys(shards.values()):
        if not path.exists():
            raise UserError(f"{index}: names {path.name}, which is not in the folder; copy all parts")
    return shards


def expected_shapes(spec: EncoderSpec, *, pooler: bool = False) -> dict[str, tuple[int, ...]]:
    """Return canonical parameter name -> shape, in the order embeddings, layers, pooler."""
    width, narrow, ffn = spec.hidden_size, spec.embedding_size, spec.ffn_size
    shapes: dict[str, tuple[int, ...]] = {"embeddings.word_embeddings.weight": (spec.vocab_size, narrow)}
    if spec.position_table:
        shapes["embeddings.position_embeddings.weight"] = (spec.positions, narrow)
    if spec.token_types:
        shapes["embeddings.token_type_embeddings.weight"] = (spec.token_types, narrow)
    shapes |= _norm("embeddings.LayerNorm", width if spec.project_first else narrow, spec)
    if narrow != width:
        shapes |= _linear("embeddings_project", width, narrow, not spec.project_first)
    if spec.relative_buckets:
        shapes["encoder.relative_attention_bias.weight"] = (spec.relative_buckets, spec.heads)
    shapes |= beside_layers(spec)
    for layer in range(spec.layers):
        shapes |= _layer_shapes(f"encoder.layer.{layer}", width, ffn, spec)
    if pooler:
        shapes |= _linear("pooler.dense", width, width)
    return shapes


def _layer_shapes(stem: str, width: int, ffn: int, spec: EncoderSpec) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    asking = {"qkv": 3 * width} if spec.family.joined_qkv else dict.fromkeys(("query", "key", "value"), width)
    for part, rows in asking.items():
        shapes |= _linear(f"{stem}.attention.self.{part}", rows, width, spec.attention_biases)
    for part in own_positions(spec):
        shapes |= _linear(f"{stem}.attention.self.{part}", width, width)
    shapes |= _linear(f"{stem}.attention.output.dense", width, width, spec.attention_biases)
    shapes |= _norm(f"{stem}.attention.output.LayerNorm", width, spec)
    shapes |= _linear(f"{stem}.intermediate.dense", ffn * (2 if spec.gated else 1), width, spec.feed_biases)
    shapes |= _linear(f"{stem}.output.dense", width, ffn, spec.feed_biases)
    shapes |= _norm(f"{stem}.output.LayerNorm", width, spec)
    return shapes


def _linear(module: str, rows: int, columns: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{module}.weight": (rows, columns)}
    return shapes | ({f"{module}.bias": (rows,)} if bias else {})


def _norm(module: str, width: int, spec: EncoderSpec) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{module}.weight": (width,)}
    return shapes | ({f"{module}.bias": (width,)} if spec.norm_biases else {})


def hf_names(spec: EncoderSpec, *, pooler: bool = False, prefix: bool = False) -> dict[str, str]:
    """Return canonical parameter name -> the type's own name, as transformers' AutoModel saves and loads it.

    With `prefix`, names as in a model with a head (`bert.embeddings…`).
    """
    before = spec.family.prefix if prefix else ""
    return {name: before + _own_name(name, spec) for name in expected_shapes(spec, pooler=pooler)}


def _own_name(canonical: str, spec: EncoderSpec) -> str:
    family = spec.family
    module, kind = canonical.rsplit(".", 1)
    if not canonical.startswith("encoder.layer."):
        return f"{family.outer_parts.get(module, module)}.{kind}"
    number, part = module.removeprefix("encoder.layer.").split(".", 1)
    if part != "output.LayerNorm" or family.last_norm is None:
        return f"{family.layer_stem}.{number}.{family.layer_parts[part]}.{kind}"
    following, whole = int(number) + 1, family.last_norm[1]
    return f"{whole if following == spec.layers else f'{family.layer_stem}.{following}.{family.last_norm[0]}'}.{kind}"


def map_weights(spec: EncoderSpec, names: Iterable[str], where: str | Path) -> WeightMap:
    """Match the tensor names of an encoder's files with its parameters.

    The type's own prefix is stripped, `.gamma`/`.beta` become `.weight`/`.bias`, heads and buffers are ignored. A
    tensor inside the encoder that has no place, a parameter without a tensor, and two tensors for one parameter are
    UserErrors that name them.
    """
    family = spec.family
    canonical_of = {own: name for name, own in hf_names(spec, pooler=family.pooler).items()}
    inside = tuple({*INSIDE, *(f"{own.split('.')[0]}." for own in canonical_of)})
    found: dict[str, str] = {}
    ignored: list[str] = []
    unknown: list[str] = []
    for name in names:
        own = name.removeprefix(family.prefix)
        for old, new in OLD_ENDINGS.items():
            if own.endswith(old):
                own = own.removesuffix(old) + new
        if own in canonical_of:
            first = found.setdefault(canonical_of[own], name)
            if first != name:
                raise UserError(
                    f"{where}: both {json.dumps(first)} and {json.dumps(name)} hold one parameter; expected one of them"
                )
        elif own in BUFFERS or not own.startswith(inside) or _is_unread(spec, name, own):
            ignored.append(name)
        else:
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{where}: {_some(unknown)} {'is' if len(unknown) == 1 else 'are'} inside the encoder but no part of type "
            f'{spec.model_type} with {spec.layers} layers as config.json describes it; is "model_type" right?'
        )
    return _complete(spec, found, ignored, where)


def _is_unread(spec: EncoderSpec, name: str, own: str) -> bool:
    """Return whether a tensor inside the encoder by its name is a head, or a table that this encoder does not read."""
    head = spec.family.classifier
    # Some files of encoders without absolute positions keep the table.
    table = own == "embeddings.position_embeddings.weight" and not spec.position_table
    # The pre-training of DeBERTa v3 leaves a second table beside each in the file.
    table = table or own in ("embeddings.word_embeddings._weight", "embeddings.position_embeddings._weight")
    return table or name.startswith((f"{head.dense}.", f"{head.output}."))


def _complete(spec: EncoderSpec, found: dict[str, str], ignored: list[str], where: str | Path) -> WeightMap:
    pooler = [name for name in found if name.startswith("pooler.")]
    expected = expected_shapes(spec, pooler=bool(pooler))
    missing = [name for name in expected if name not in found]
    if missing:
        own = hf_names(spec, pooler=bool(pooler))
        others = f"; the file holds {_some(ignored)} instead" if ignored and len(missing) == len(expected) else ""
        raise UserError(
            f"{where}: no tensor for {_some([own[name] for name in missing])}; expected every weight of type "
            f"{spec.model_type} with {spec.layers} layers{others}"
        )
    return WeightMap({name: found[name] for name in expected}, tuple(sorted(ignored)), bool(pooler))


def _some(names: list[str], limit: int = 4) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(json.dumps(name) for name in names[:limit]) + more


def open_weights(folder: Path, spec: EncoderSpec) -> EncoderWeights:
    """Check the weight files of `folder` against `spec` (names, types, shapes) without reading a tensor."""
    files = weight_files(folder)
    where = files[0] if len(files) == 1 else folder / INDEX
    holder: dict[str, Path] = {}
    infos: dict[str, TensorInfo] = {}
    for path in files:
        for name, info in read_header(path).items():
            if name in holder:
                raise UserError(f"{path}: {json.dumps(name)} is in {holder[name].name} too; expected it once")
            holder[name], infos[name] = path, info
    if len(files) > 1 or where.name == INDEX:
        for name, path in _shards(folder).items():
            if holder.get(name) != path:
                raise UserError(
                    f"{where}: {json.dumps(name)} is said to be in {path.name}, but it is not; copy all parts again"
                )
    # A table without rows stands for no table: some files keep it.
    names = [name for name, info in infos.items() if 0 not in info.shape]
    found = map_weights(spec, names, where)
    stored = _check_tensors(spec, found, infos, holder)
    notes = []
    heads = [name for name in found.ignored if name.removeprefix(spec.family.prefix) not in BUFFERS]
    if heads:
        notes.append(f"{len(heads)} tensors outside the encoder ignored: {_some(heads)}")
    if stored:
        notes.append(f"weights stored as {', '.join(stored)} are cast to fp32")
    return EncoderWeights(
        spec=spec,
        file_of={name: holder[own] for name, own in found.by_canonical.items()},
        name_of=found.by_canonical,
        stored_as=stored,
        ignored=found.ignored,
        has_pooler=found.has_pooler,
        notes=tuple(notes),
    )


def _check_tensors(
    spec: EncoderSpec, found: WeightMap, infos: Mapping[str, TensorInfo], holder: Mapping[str, Path]
) -> tuple[str, ...]:
    stored: set[str] = set()
    for name, shape in expected_shapes(spec, pooler=found.has_pooler).items():
        own = found.by_canonical[name]
        info = infos[own]
        if info.dtype not in FLOATS:
            raise UserError(f'{holder[own]}: "{own}" is stored as {info.dtype}; expected one of {", ".join(FLOATS)}')
        if info.shape != shape:
            raise UserError(
                f'{holder[own]}: "{own}" has shape {list(info.shape)}, config.json says {list(shape)}; '
                "the two files do not belong together"
            )
        stored.add(info.dtype)
    return tuple(sorted(stored - {"F32"}))
