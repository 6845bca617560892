"""From settings to a registered checkpoint.

- balance_checks: options that balance the tasks of a step: refused where steps give them nothing to balance
- dry_run: what a training would do and take, from its settings and a short probe; nothing is trained or kept
- finish: from a finished training to a checkpoint in the registry
- first_process: one training in a process of its own: the engine's loop joined with the run folder, its log and the
  listener
- kept_run: a training's run folder while it trains: the last save, the log, and what is said where the training ends
  early
- kind_checks: options that ask for a kind of task which the data set does not have
- other_processes: what every process of a training but the first does: its part of each step, and no more
- remarks: what is not wrong with a training's settings, but hardly meant
- resume: which run a `--resume` goes on with, and what a finished or taken name means
- run_log: the log of a run: one JSON object a line, handed to the system at once, cut to the saved step on resume
- scale_out: A training in several processes, as torchrun starts them: the first one decides and writes, the others
  follow
- setting_sources: where settings come from: TOML files of options, recipes and encoder presets, each checked as it is
  read
- settings: every training option in force: default < encoder preset < recipe < `--config` < flag
- signals: signals during a training: finish the step, save, end; a second Ctrl-C ends at once
- teaching: what a teacher says of the train rows, and of rows without labels: predicted once, and kept
- text_rows: the sentences of a data set's tasks, each once, and those that are held out of training on them
- text_training: `smart pretrain-text`: masked-language-model training on the tasks' own sentences
- train: one training from settings to a registered checkpoint, resumable at any step
- training_inputs: what a training reads before it starts: data set, tokens, encoder or `--init` checkpoint, and the
  model
- unlabelled: `--unlabelled`: files of rows without labels, which a teacher labels (self-training)
"""
