"""The head of a masked language model: from a token's row to a logit for each word, tied to the embeddings.

Devlin et al. 2019 (arXiv 1810.04805): LayerNorm(activation(W x + b)), times the table of word embeddings, plus a bias a
word. Axes: M masked tokens, D width, E embedding size, V words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from smartcli.data.ragged import Ragged
from smartcli.engine.model.feed_forward import activation
from smartcli.engine.streams import stream
from smartcli.errors import SmartCliError
from smartcli.families.spec import EncoderSpec

INIT_STD = 0.02


class MlmHead(nn.Module):
    """Rows of the encoder's last layer in, logits of all words out."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.dense = nn.Linear(spec.hidden_size, spec.embedding_size)
        self.norm = nn.LayerNorm(spec.embedding_size, eps=spec.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(spec.vocab_size))
        self.act = spec.activation

    @torch.no_grad()
    def start(self, seed: int, counts: Tensor) -> None:
        """Draw a fresh head; words' biases are the logarithms of their shares of the text, `counts` (V,) plus one.

        So a fresh head starts at what frequency alone predicts, and the loss falls by what the encoder learns.
        """
        self.dense.weight.normal_(0.0, INIT_STD, generator=stream(seed, "mlm head"))
        self.dense.bias.zero_()
        self.norm.weight.fill_(1.0)
        self.norm.bias.zero_()
        shares = (counts.double() + 1.0) / (counts.double() + 1.0).sum()
        self.bias.copy_(shares.log())

    def forward(self, rows: Tensor, table: Tensor) -> Tensor:
        """Return logits (M, V) of `rows` (M, D), with the encoder's word embeddings `table` (V, E)."""
        hidden = self.norm(activation(self.act, self.dense(rows)))
        return nn.functional.linear(hidden, table, self.bias)


def count_words(sentences: Ragged, size: int) -> Tensor:
    """Return how often each word (V,) stands in sentences of token ids."""
    return torch.from_numpy(np.bincount(np.asarray(sentences.ids), minlength=size))


def read_mlm_head(head: MlmHead, found: Mapping[str, tuple[Path, str]], table: Tensor) -> bool:
    """Fill a head from an encoder's files as `find_mlm_head` found it; SmartCliError for what is not finite.

    Biases that were not found are 0. False, and the head is as before, where the files have an output layer that is not
    the table (V, E) of embeddings.
    """
    tensors: dict[str, Tensor] = {}
    for part, (path, name) in found.items():
        with safe_open(path, framework="pt") as file:
            tensors[part] = file.get_tensor(name).float()
        if not bool(torch.isfinite(tensors[part]).all()):
            raise SmartCliError(f'{path}: "{name}" holds a NaN or infinity')
    untied = tensors.pop("untied", None)
    if untied is not None and not torch.equal(untied, table.detach().cpu()):
        return False
    own = head.state_dict()
    lacking = {part: torch.zeros_like(own[part]) for part in own.keys() - tensors.keys()}
    head.load_state_dict(tensors | lacking)
    return True
