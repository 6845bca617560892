"""The usual loop: transformers' BertModel with SDPA, padded batches, one forward a task, mt-dnn's SMART.

What most published multi-task code runs. Optimizer, clipping and dropouts are those of ours; batches are tokenised
before the clock starts, as ours are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoTokenizer, BertModel

from smartcli.config import Settings
from smartcli.tasks import TaskTable

Texts = Mapping[str, Sequence[tuple[str, ...]]]
Batch = Mapping[str, Tensor]


class UsualLoop:
    """One model, one optimizer, and a step over the texts and labels of each task."""

    def __init__(
        self,
        folder: Path,
        tasks: TaskTable,
        settings: Settings,
        *,
        bf16: bool,
        device: torch.device,
    ) -> None:
        self.tasks, self.settings, self.bf16, self.device = tasks, settings, bf16, device
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = BertModel.from_pretrained(
            folder,
            attn_implementation="sdpa",
            hidden_dropout_prob=settings.dropout,
            attention_probs_dropout_prob=settings.attention_dropout or 0.0,
            # A file in fp16 would else be trained in fp16, and its heads in fp32.
            torch_dtype=torch.float32,
        ).to(device)
        self.model.train()
        width = self.model.config.hidden_size
        self.dropout = nn.Dropout(settings.dropout)
        self.heads = nn.ModuleDict(
            {task.name: nn.Linear(width, task.classes if task.kind == "classification" else 1) for task in tasks}
        ).to(device)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.lr, weight_decay=settings.weight_decay, eps=1e-6, fused=True
        )

    def logits(self, task: str, batch: Mapping[str, Tensor], embeds: Tensor) -> Tensor:
        """Return the logits of a padded batch from its word vectors."""
        out = self.model(
            inputs_embeds=embeds, attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"]
        )
        logits: Tensor = self.heads[task](self.dropout(out.last_hidden_state[:, 0])).float()
        return logits if logits.shape[1] > 1 else logits.squeeze(-1)

    def loss(self, task: str, logits: Tensor, labels: Tensor) -> Tensor:
        kind = self.tasks.get(task).kind
        if kind == "regression":
            return F.mse_loss(logits, labels)
        if kind == "binary":
            return F.binary_cross_entropy_with_logits(logits, labels)
        return F.cross_entropy(logits, labels.long())

    def divergence(self, task: str, one: Tensor, other: Tensor) -> Tensor:
        kind = self.tasks.get(task).kind
        if kind == "regression":
            return F.mse_loss(one, other)
        if one.dim() == 1:
            one, other = (torch.stack([torch.zeros_like(x), x], dim=-1) for x in (one, other))
        log_p, log_q = F.log_softmax(one, dim=-1), F.log_softmax(other, dim=-1)
        return F.kl_div(log_p, log_q, log_target=True, reduction="batchmean") + F.kl_div(
            log_q, log_p, log_target=True, reduction="batchmean"
        )

    def tokenise(self, texts: Texts, padding: bool | str = True, length: int | None = None) -> dict[str, Batch]:
        """Return each task's batch as padded tensors on the CPU, padded to `length` where that is given."""
        out: dict[str, Batch] = {}
        for task, rows in texts.items():
            columns = [list(column) for column in zip(*rows, strict=True)]
            out[task] = self.tokenizer(
                *columns,
                padding=padding,
                truncation=True,
                max_length=length or self.settings.max_length,
                return_tensors="pt",
            )
        return out

    def step(self, batches: Mapping[str, Batch], labels: Mapping[str, Tensor]) -> float:
        """Train on one batch of each task, each with a forward and a backward of its own."""
        total = 0.0
        for task, cpu in batches.items():
            batch = {name: tensor.to(self.device) for name, tensor in cpu.items()}
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = self._task_loss(task, batch, labels[task].to(self.device))
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def _task_loss(self, task: str, batch: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        embeds = self.model.embeddings.word_embeddings(batch["input_ids"])
        logits = self.logits(task, batch, embeds)
        loss = self.loss(task, logits, labels)
        weight = self.settings.lam[task]
        if weight == 0:
            return loss
        noise = (torch.randn_like(embeds) * self.settings.sigma).requires_grad_()
        inner = self.divergence(task, self.logits(task, batch, embeds.detach() + noise), logits.detach())
        (gradient,) = torch.autograd.grad(inner, noise, only_inputs=True, retain_graph=False)
        noise = noise.detach() + gradient * self.settings.step_size
        noise = noise / (noise.abs().amax(dim=-1, keepdim=True) + 1e-6)
        return loss + weight * self.divergence(task, self.logits(task, batch, embeds + noise.detach()), logits)
