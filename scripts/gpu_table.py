"""The table that scripts/gpu_check.sh ends with, from the JSON files in its folder; exit 1 where a part failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def rows_of(name: str, result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each setting of a benchmark's JSON, and one for each method's cost."""
    out = []
    for row in result["rows"]:
        what = f"{name} {'SMART' if row['smart'] else 'plain'} {row['precision']}"
        compiled = "–" if row["compiled_ms"] is None else f"{row['compiled_ms']:.2f}"
        ahead = "–" if row["ahead_ms"] is None else f"{row['ahead_ms']:.2f}"
        busy = "–" if row["gpu_busy"] is None else f"{row['gpu_busy']:.0%}"
        out.append(
            (what, f"{row['ours_ms']:.2f}", ahead, f"{row['usual_ms']:.2f}", compiled, f"{row['ratio']:.2f} x", busy)
        )
    for row in result["costs"]:
        cost = f"{row['times_plain']:.2f} x plain"
        out.append((f"{name} {row['method']} {row['precision']}", f"{row['seconds'] * 1e3:.2f}", "", "", "", cost, ""))
    return out


def main() -> int:
    folder = Path(sys.argv[1])
    parts = [json.loads(line) for line in (folder / "parts.jsonl").read_text("utf-8").splitlines()]
    card = (folder / "card.txt").read_text("utf-8").strip()
    table = Table("", "ours ms", "run ahead", "usual ms", "compiled ms", "ratio", "GPU busy", title=card)
    for name in ("minilm", "bert-base", "minilm-compiled", "bert-base-compiled"):
        path = folder / f"{name}.json"
        if path.exists():
            for row in rows_of(name, json.loads(path.read_text("utf-8"))):
                table.add_row(*row)
    console = Console(width=120)
    console.print(table)
    trained = folder / "three-epochs.json"
    if trained.exists():
        console.print(
            f"three epochs of MiniLM with SMART: {json.loads(trained.read_text('utf-8'))['seconds']} s in all"
        )
    for part in parts:
        ended = "passed" if part["exit"] == 0 else "out of time" if part["exit"] in (124, 137) else "FAILED"
        console.print(f"{part['part']}: {ended} in {part['seconds']} s ({folder / part['part']}.log)")
    return 1 if any(part["exit"] for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
