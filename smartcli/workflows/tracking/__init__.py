"""A training's events in the trackers that a team looks at: `--track`.

- track_numbers: the numbers of an event under flat names, which every tracker takes
- track_option: what `--track` may say, and what is missing for it
- tracking: hands a training's events to trackers on threads of their own, which can neither slow nor end it
- tracker: what a tracker does
- tracker_kinds: the tracker of each kind, and where it writes
- tracker_mlflow: MLflow, by its client: a run in a local database or on a server
- tracker_tensorboard: TensorBoard's event files
- tracker_wandb: Weights & Biases, online or in a folder to upload later
"""
