"""One task's model as an ONNX graph: the encoder over padded batches, for export alone.

The packed encoder scatters by index and groups by length, which a graph for other tools cannot; here every
sentence is padded to L. Same weights, same numbers. Axes: n sentences, L tokens, D width, H heads.
"""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from smartcli.engine.export.padded_parts import padded_convolution, padded_relatives
from smartcli.engine.model.attention import relative_buckets
from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.heads import decide
from smartcli.engine.model.layer import Layer
from smartcli.engine.model.local_attention import beyond
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.model.rotary import rotary_table
from smartcli.errors import UserError

SIDE_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OPSET = 17
"""The first with LayerNormalization as one operation."""


class PaddedEncoder(nn.Module):
    """Shares the encoder's weights; takes (n, L) ids, mask and types and gives one vector a sentence, (n, D)."""

    bias: Tensor | None

    def __init__(self, encoder: Encoder, pooling: str, longest: int) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling
        bias, spec = None, encoder.spec
        if encoder.relative is not None:
            buckets = relative_buckets(longest, spec.relative_buckets, spec.relative_distance)
            bias = encoder.relative(buckets).permute(2, 0, 1).detach().clone()
        self.register_buffer("bias", bias)
        self.relatives = padded_relatives(encoder, longest)
        self.tables = {base: rotary_table(longest, spec.hidden_size // spec.heads, base) for base in set(spec.rotary)}

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None) -> Tensor:
        """Return (n, D)."""
        encoder, length = self.encoder, ids.shape[1]
        spec = encoder.spec
        x: Tensor = encoder.words(ids)
        if encoder.positions is not None:
            offset = spec.position_offset
            x = x + encoder.positions.weight[offset : offset + length]
        if encoder.types is not None:
            x = x + (encoder.types.weight[0] if types is None else encoder.types(types))
        if encoder.project is None:
            x = encoder.norm(x)
        else:
            x = encoder.norm(encoder.project(x)) if spec.project_first else encoder.project(encoder.norm(x))
        hidden = (1.0 - mask.to(x.dtype))[:, None, None, :] * torch.finfo(x.dtype).min
        if self.bias is not None:
            hidden = hidden + self.bias[:, :length, :length]
        hiding = {
            reach: hidden + beyond(torch.arange(length), reach) if reach else hidden for reach in {0, *spec.reach}
        }
        read, embedded = x, x
        for number, layer in enumerate(encoder.layers):
            assert isinstance(layer, Layer)
            turn = self.tables[spec.rotary[number]][:, :length] if spec.rotary else None
            reach, relative = spec.reach[number] if spec.reach else 0, self.relatives[number]
            x, read = _layer(layer, x, read, hiding[reach], turn, relative, pre=spec.pre_norm)
            if number == 0 and encoder.convolution is not None:
                x = read = padded_convolution(encoder.convolution, embedded, x, mask)
        if self.pooling == "mean":
            kept = mask.to(x.dtype)[:, :, None]
            return (read * kept).sum(dim=1) / kept.sum(dim=1)
        if self.pooling == "pooler":
            assert encoder.pooler is not None
            return torch.tanh(encoder.pooler(read[:, 0]))
        return read[:, 0]


def _layer(
    layer: Layer, x: Tensor, read: Tensor, hidden: Tensor, turn: Tensor | None, relative: nn.Module, *, pre: bool
) -> tuple[Tensor, Tensor]:
    """Return what the next layer goes on from and what it reads, each (n, L, D); with `pre` the sum and its norm."""
    n, length, width = x.shape

    def by_head(y: Tensor) -> Tensor:
        return y.view(n, length, layer.heads, width // layer.heads).transpose(1, 2)

    def joined(part: Tensor, rows: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
        total = part + rows
        normed: Tensor = norm(total)
        return total if pre else normed, normed

    query, key, value = (by_head(part) for part in layer.qkv(read).split(width, dim=2))
    if turn is not None:
        query, key = _turned(query, turn), _turned(key, turn)
    scores = relative(query, key, query @ key.transpose(2, 3))
    mixed = (torch.softmax(scores + hidden, dim=-1) @ value).transpose(1, 2).reshape(n, length, width)
    x, read = joined(layer.attention_out(mixed), x, layer.attention_norm)
    return joined(layer.plain_feed(read, *layer.feed_weights(), layer.act), x, layer.feed_norm)


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Return queries or keys (n, H, L, d) turned by cosine and sine, (2, L, d/2)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * turn[0] - second * turn[1], second * turn[0] + first * turn[1]], dim=-1)


class PaddedTask(nn.Module):
    """Encoder and head of one task: logits, and for classes their probabilities too."""

    def __init__(self, model: MultiTaskModel, task: str, longest: int, *, types: bool) -> None:
        super().__init__()
        self.encoder = PaddedEncoder(model.encoder, model.pooling, longest)
        self.head = model.head(task)
        self.task = model.tasks.get(task)
        self.each = 3 if types else 2

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take ids, mask (and types) of each side; return logits (n,) or (n, C), and probabilities (n, C)."""
        starts = range(0, len(inputs), self.each)
        sides = [self.encoder(inputs[s], inputs[s + 1], inputs[s + 2] if self.each == 3 else None) for s in starts]
        logits = self.head(sides)
        _, shares = decide(self.task, logits)
        return (logits,) if shares is None else (logits, shares)


def input_names(sides: int, *, types: bool) -> list[str]:
    """Return the graph's inputs: `input_ids`, … or, for sentences encoded apart, `input_ids_a`, …, `input_ids_b`, …."""
    names = SIDE_INPUTS if types else SIDE_INPUTS[:2]
    return [name + suffix for suffix in (("",) if sides == 1 else ("_a", "_b")) for name in names]


def check_installed() -> None:
    """UserError where the package that writes the graph is not installed."""
    if find_spec("onnx") is None:
        raise UserError("--format onnx needs the package onnx; install it with: pip install 'smart-finetune[onnx]'")


def onnx_bytes(model: MultiTaskModel, task: str, *, sides: int, types: bool, longest: int) -> bytes:
    """Return the graph of `task` as a file's content: any number of rows, and of tokens up to `longest`."""
    check_installed()
    module = PaddedTask(model, task, longest, types=types).eval()
    names = input_names(sides, types=types)
    example = tuple((torch.zeros if "type" in name else torch.ones)(2, 7, dtype=torch.long) for name in names)
    shapes = {name: {0: "rows", 1: f"tokens{name[-2:] if sides == 2 else ''}"} for name in names}
    outputs = ["logits"] if model.tasks.get(task).kind == "regression" else ["logits", "probabilities"]
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The newer exporter takes ten times as long for the same graph, and more packages.
        torch.onnx.export(
            module,
            example,
            out,  # type: ignore[arg-type]
            input_names=names,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes={**shapes, **{name: {0: "rows"} for name in outputs}},
        )
    return out.getvalue()
