"""One training: which rows each step takes, the loss and its gradients, the update, and the loop around it.

- accumulation: gradient accumulation: one update from several batches, in the memory of one
- averaged_weights: averaged weights (EMA): what is evaluated and kept is an average over the training
- balance: `--balance`: weights of the tasks that are learnt as training goes, and what every way shares
- balance_table: which ways there are to learn tasks' weights; a new one is a line there
- batches: from row numbers to packed batches on the device, on a thread of their own
- dev_scores: dev scores of a model in training: every task with a head, and a fixed sample of training rows
- division: A step divided among processes: which examples each takes, and the batch that they make
- fixed_step: updates from batches of fixed shape: the whole step runs on the device, and no value is read inside it
- forecast: what a training will take: its steps walked through by their lengths, and a few of them done for their
  time
- gradient_share: each task's share of the gradient, read off one that every step has anyway
- gradients: gradients of one step: where they are kept, their norm, clipping, and the embedding table's few rows
- gradnorm: GradNorm, weights under which every task's gradient has the norm that its progress calls for
- job: what a training is given, where it reports, and what it ends with
- layer_decay: layer-wise learning-rate decay: lower layers learn more slowly
- loop: the training loop: phases of steps, dev scores after each epoch, saves, and a stop at any step
- objective: the loss of one update: a clean pass over one packed batch, and a sum over terms
- optimizer: AdamW over the parameters of a phase: biases and LayerNorm weights are not decayed
- outcome: what one update found, as Python numbers, and what of it was not finite
- pair_order: `--swap-pairs`: the sentences of a pair change places with a chance of P each time they are trained on
- phase_state: everything one phase of training holds beside the model: optimizer, gradients, streams, terms, best
  weights
- recorder: whether a training's steps have fixed shapes and are recorded as CUDA graphs, and if not, why
- replay: work that is done again and again on the same memory: each time anew, or on a GPU recorded and replayed
- row_sets: rows of a task picked, and rows without labels put behind others
- sampling: `--sampling balanced`: rows of rare classes are drawn more often, every class about equally often in a pass
- schedule: the phases of a run, and which rows each of their steps trains on
- snapshot: what a run needs to go on: tensors by file, and its position as JSON values; no pickle anywhere
- step_probe: which number format is faster on this GPU for this encoder: a training's own steps, timed in each
- step_record: A step's line of the log
- surgery: gradient surgery (PCGrad, Yu et al
- task_gradients: the gradients of several tasks apart, each in a flat row, for surgery without host reads
- text_loop: masked-language-model training of an encoder on sentences
- task_sampling: each step trains one task, drawn by the tasks' sizes
- task_weights: fixed weights of the tasks' parts in the loss
- uncertainty: each task is weighted by the noise of its labels, which is learnt
- update: one optimizer update: the loss, gradients (with surgery or without), checks, clipping, AdamW
- waiting: a step that the loop has asked for and not yet heard of, and what is said where memory runs out in it
- word_masks: which tokens a masked language model has to guess, and what stands in their place
"""
