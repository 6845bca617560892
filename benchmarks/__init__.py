"""Ours against the usual loop, and what each method costs."""

# Before torch is loaded: it sets how long libgomp's threads wait.
import smartcli.engine  # noqa: F401
