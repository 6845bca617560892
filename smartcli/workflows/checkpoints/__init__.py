"""What is done with checkpoints on disk: listed, described, imported, exported.

- checkpoint_import: `smart checkpoints import`: a checkpoint folder of another home, verified and then taken in whole
- export_card: The README.md of an exported folder: how to load it, what comes out, and what the format cannot hold
- export_folders: `smart checkpoints export`: a registered model as folders that other tools load, one a task
- listing: what is on disk: lists of checkpoints and runs, and the card of one checkpoint
- model_card: the model card that stands in a checkpoint as README.md
"""
