"""Joins data, engine and registry into the jobs that commands and the Python API call."""
