"""The README.md of an exported folder: how to load it, what comes out, and what the format cannot hold."""

from __future__ import annotations

from smartcli.registry.meta import CheckpointMeta
from smartcli.tasks import Task
from smartcli.visible import code_span, markdown

_HF = """```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModelForSequenceClassification.from_pretrained(FOLDER)
inputs = tokenizer({texts}, padding=True, truncation=True, return_tensors="pt")
logits = model(**inputs).logits
```
"""
_CROSS_ENCODER = """
sentence-transformers loads it too: `CrossEncoder(FOLDER).predict([("one sentence", "another")])` gives {gives}.
"""
_ONNX = """```python
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("FOLDER/tokenizer.json")
session = onnxruntime.InferenceSession("FOLDER/model.onnx")
print([each.name for each in session.get_inputs()], [each.name for each in session.get_outputs()])
```

Inputs are int64 arrays of shape (rows, tokens): {inputs}. Pad shorter rows with attention mask 0.
"""


def limits(meta: CheckpointMeta, task: Task, file_format: str) -> list[str]:
    """Return, in words, what the exported folder of `task` leaves to whoever uses it."""
    longest = meta.settings["max_length"]
    lines = ["training settings, dev predictions, log and lineage stay in the registry; each folder holds one task"]
    if file_format == "hf":
        lines.append(f"longer input is cut to {longest} tokens only where the tokenizer is called with truncation=True")
        lines.append("it is made for predicting: its classifier is ours rewritten, and would train differently")
    else:
        lines.append(f"the graph does not tokenise, and takes at most {longest} tokens an input; cut longer ones first")
    if task.kind == "binary":
        lines.append("a binary task's class is 1 where its probability is above 0.5; the folder gives the probability")
    if task.kind == "multilabel":
        lines.append("a row has each label whose probability is 0.5 or more; the folder gives the probabilities")
    if task.kind == "regression" and task.range is not None:
        lines.append("a score's range is not stored; scores may lie outside it, here as in smart-finetune")
    return lines


def output_words(task: Task, *, single_logit: bool) -> str:
    """Return what the outputs of `task` mean."""
    if task.kind == "regression":
        assert task.range is not None
        low, high = task.range
        return f"one output: the score, from {low:g} to {high:g} in the training data"
    if single_logit:
        return f"one output: its sigmoid is the probability of {code_span(task.labels[1])}"
    labels = ", ".join(map(markdown, task.labels))
    if task.kind == "multilabel":
        return f"{task.classes} outputs, one a label ({labels}): the sigmoid of each is that label's probability"
    return f"{task.classes} outputs, one a class ({labels}): their softmax is the probabilities"


def export_card(meta: CheckpointMeta, task: Task, file_format: str, *, types: bool) -> str:
    """Return the page for one task's folder."""
    mode = meta.settings["pair_mode"]
    apart = task.pair and mode != "concat"
    single_logit = task.kind == "binary" and not (apart and mode == "cosine")
    lines = [f"# {meta.name}: {task.name}", "", f"Exported from the smart-finetune checkpoint `{meta.name}`.", ""]
    lines.append(f"It gives {output_words(task, single_logit=single_logit)}.")
    lines.append("")
    if file_format == "hf":
        lines.append(_HF.replace("{texts}", '["one sentence"], ["another"]' if task.pair else '["one sentence"]'))
        if task.pair:
            shares = single_logit or task.kind == "multilabel"
            gives = "scores" if task.kind == "regression" else "probabilities" if shares else "logits"
            lines[-1] += _CROSS_ENCODER.replace("{gives}", gives)
    else:
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
        if apart:
            names = [f"{name}_{side}" for side in "ab" for name in names]
        lines.append(_ONNX.replace("{inputs}", ", ".join(f"`{name}`" for name in names)))
    lines += ["What this folder does not hold:", ""]
    lines += [f"- {line}" for line in limits(meta, task, file_format)]
    return "\n".join(lines) + "\n"
