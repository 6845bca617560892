from __future__ import annotations

import pytest

from smartcli.cli.arguments import rewrite

CASES: list[tuple[str, str]] = [
    ("finetune --resume", "finetune --resume auto"),
    ("finetune --resume --name a", "finetune --resume auto --name a"),
    ("finetune --resume ckpt1", "finetune --resume ckpt1"),
    ("finetune --resume=ckpt1", "finetune --resume=ckpt1"),
    ("finetune --quiet", "--quiet finetune"),
    ("finetune --resume --quiet", "--quiet finetune --resume auto"),
    ("--debug finetune --debug --quiet", "--debug --quiet finetune"),
    ("predict -- --resume --quiet", "predict -- --resume --quiet"),
    ("", ""),
]


@pytest.mark.parametrize(("typed", "parsed"), CASES)
def test_bare_resume_and_late_global_flags(typed: str, parsed: str) -> None:
    assert rewrite(typed.split()) == parsed.split()
