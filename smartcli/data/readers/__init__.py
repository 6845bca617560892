"""Strict readers of CSV, TSV, JSON lines and parquet files: a table, or an error that names file and line."""

from __future__ import annotations

from smartcli.data.readers.problems import Problems
from smartcli.data.readers.table import FORMATS, Cell, RawTable, open_stream, open_table

__all__ = ["FORMATS", "Cell", "Problems", "RawTable", "open_stream", "open_table"]
