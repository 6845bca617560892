"""Checkpoints and runs on disk: names, manifests, locks, lineage; free of torch."""
