"""The strongest loop that a user could write in an afternoon: transformers compiled by torch, all tasks in one batch.

One padded batch of a fixed shape for all tasks, BertModel's body through torch.compile (mode "reduce-overhead", which
records CUDA graphs on a GPU), a fused AdamW; SMART is mt-dnn's, as in usual.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.usual import Batch, Texts, UsualLoop


class CompiledLoop(UsualLoop):
    """The usual model, compiled, over one batch of all tasks padded to `length`."""

    def __init__(self, *arguments: Any, length: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.length = length
        mode = "reduce-overhead" if self.device.type == "cuda" else None
        self.body = torch.compile(self._body, mode=mode, dynamic=False)

    def _body(self, embeds: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        out: Tensor = self.model(inputs_embeds=embeds, attention_mask=mask, token_type_ids=types).last_hidden_state[
            :, 0
        ]
        return out

    def joined(self, texts: Texts) -> Batch:
        """Return one batch of all tasks' rows, task by task, padded to the fixed length."""
        parts = self.tokenise(texts, "max_length", self.length).values()
        return {name: torch.cat([part[name] for part in parts]) for name in next(iter(parts))}

    def step_joined(self, cpu: Batch, labels: Mapping[str, Tensor]) -> None:
        """Train on one batch of all tasks."""
        if self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        batch = {name: tensor.to(self.device) for name, tensor in cpu.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self._loss(batch, {task: own.to(self.device) for task, own in labels.items()})
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _outputs(self, batch: Batch, embeds: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        rows = self.dropout(self.body(embeds, batch["attention_mask"], batch["token_type_ids"]).clone())
        out: dict[str, Tensor] = {}
        for task, part in zip(sizes, rows.split(list(sizes.values())), strict=True):
            logits = self.heads[task](part).float()
            out[task] = logits if logits.shape[1] > 1 else logits.squeeze(-1)
        return out

    def _loss(self, batch: Batch, labels: Mapping[str, Tensor]) -> Tensor:
        sizes = {task: len(own) for task, own in labels.items()}
        embeds = self.model.embeddings.word_embeddings(batch["input_ids"])
        logits = self._outputs(batch, embeds, sizes)
        total = torch.stack([self.loss(task, logits[task], labels[task]) for task in sizes]).sum()
        weights = {task: self.settings.lam[task] for task in sizes}
        if not any(weights.values()):
            return total
        noise = (torch.randn_like(embeds) * self.settings.sigma).requires_grad_()
        moved = self._outputs(batch, embeds.detach() + noise, sizes)
        inner = torch.stack([self.divergence(task, moved[task], logits[task].detach()) for task in sizes]).sum()
        (gradient,) = torch.autograd.grad(inner, noise)
        noise = noise.detach() + gradient * self.settings.step_size
        noise = noise / (noise.abs().amax(dim=-1, keepdim=True) + 1e-6)
        moved = self._outputs(batch, embeds + noise.detach(), sizes)
        penalty = [weights[task] * self.divergence(task, moved[task], logits[task]) for task in sizes]
        return total + torch.stack(penalty).sum()
