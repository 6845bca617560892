"""One training: which rows each step takes, the loss and its gradients, the update, and the loop around it.

- batches: from row numbers to packed batches on the device, on a thread of their own
- dev_scores: dev scores of a model in training: every task with a head, and a fixed sample of training rows
- division: A step divided among processes: which examples each takes, and the batch that they make
- forecast: what a training will take: its steps walked through by their lengths, and a few of them done for their
  time
- gradients: gradients of one step: where they are kept, their norm, clipping, and the embedding table's few rows
- loop: the training loop: phases of steps, dev scores after each epoch, saves, and a stop at any step
- objective: the loss of one update: a clean pass over one packed batch, and a sum over terms
- optimizer: AdamW over the parameters of a phase: biases and LayerNorm weights are not decayed
- phase_state: everything one phase of training holds beside the model: optimizer, gradients, streams, terms, best
  weights
- schedule: the phases of a run, and which rows each of their steps trains on
- snapshot: what a run needs to go on: tensors by file, and its position as JSON values; no pickle anywhere
- step_record: A step's line of the log
- surgery: gradient surgery (PCGrad, Yu et al
- update: one optimizer update: the loss, gradients (with surgery or without), checks, clipping, AdamW
"""
