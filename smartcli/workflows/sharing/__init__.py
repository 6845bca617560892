"""Checkpoints to other places and back: `smart checkpoints push` and `pull`.

- hub_card: the page of a repository on a hub: metadata that the hub reads, and what a person wants to know
- hub_repository: a checkpoint as a repository on a Hugging Face hub, written by one commit
- pushed: what a push did
- remote_files: files on a file system that fsspec names, with its errors in words
- remote_pull: a checkpoint from such a file system, verified before it is registered
- remote_push: a checkpoint to such a file system, verified there before it appears
- share: what a target or source of push and pull means
"""
