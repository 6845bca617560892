"""The training core; the only package that imports torch."""
