"""smart.json and run.json as they stand on disk are read as records, and written back byte for byte."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from registry_fixtures import TASKS, make_meta

from smartcli.data.sealed import seal
from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.meta import CheckpointMeta, DataRecord, EncoderRecord, Lineage, Reference
from smartcli.registry.run_folders import RunHeader, Runs
from smartcli.strictjson import canonical_json, parse_object

TRAINED = b"""{
  "format": 1,
  "name": "ckpt2",
  "kind": "finetune",
  "method": "concat simultaneous smart init",
  "command": [
    "smart",
    "finetune",
    "--init",
    "ckpt1"
  ],
  "settings": {
    "lambda": {
      "default": 1.0,
      "sts": 5.0
    },
    "seed": 7
  },
  "tasks": [
    {
      "name": "sts",
      "label": "\xe2\x98\x85"
    }
  ],
  "all_tasks": [
    {
      "name": "sst"
    },
    {
      "name": "sts",
      "label": "\xe2\x98\x85"
    }
  ],
  "encoder": {
    "id": "minilm",
    "revision": null,
    "model_type": "bert",
    "tokenizer": "abc"
  },
  "data": {
    "name": "demo",
    "source": "demo",
    "fingerprint": "fff"
  },
  "lineage": {
    "init": {
      "name": "ckpt1",
      "manifest": "123"
    },
    "members": []
  },
  "metrics": {
    "sst": null,
    "sts": {
      "pearson": 0.5,
      "n": 4
    },
    "overall": null
  },
  "best_epoch": 2,
  "steps": 12,
  "truncated": 0,
  "versions": {
    "smartcli": "0.1.0"
  },
  "seconds": 1.25,
  "created": "2025-01-02T03:04:05Z",
  "machine": {
    "device": "cpu",
    "processes": 1
  }
}
"""
ENSEMBLE = b"""{
  "format": 1,
  "name": "both",
  "kind": "ensemble",
  "method": "ensemble of 2",
  "command": [],
  "settings": {},
  "tasks": [],
  "all_tasks": [],
  "encoder": null,
  "encoders": [
    "minilm"
  ],
  "data": {
    "name": "demo",
    "fingerprint": "fff"
  },
  "lineage": {
    "init": null,
    "members": [
      {
        "name": "ckpt1",
        "manifest": "123"
      },
      {
        "name": "ckpt2",
        "manifest": "456"
      }
    ],
    "selection": {
      "top": 2,
      "of": 5
    }
  },
  "metrics": {
    "overall": 0.75
  },
  "best_epoch": null,
  "versions": {
    "smartcli": "0.1.0"
  },
  "seconds": 0.5,
  "created": "2025-01-02T03:04:05Z",
  "machine": null
}
"""
LEAST = b"""{
  "data": {
    "fingerprint": "fff"
  },
  "kind": "finetune",
  "name": "old",
  "format": 1,
  "lineage": {},
  "settings": {}
}
"""
NEWER = b"""{
  "format": 1,
  "name": "new",
  "kind": "ensemble",
  "keys": [
    "a name of ours"
  ],
  "settings": {},
  "encoder": {},
  "data": {
    "licence": "free",
    "fingerprint": "fff"
  },
  "lineage": {
    "members": [
      "ckpt1",
      {
        "manifest": "456",
        "name": "ckpt2",
        "weight": 0.5
      }
    ],
    "forked": true
  },
  "more": null
}
"""
RUN = b"""{
  "command": "finetune",
  "argv": [
    "smart",
    "finetune"
  ],
  "settings": {
    "seed": 7
  },
  "data": {
    "name": "demo",
    "fingerprint": "fff"
  },
  "encoder": {
    "id": "minilm",
    "revision": null,
    "model_type": "bert",
    "tokenizer": "abc"
  },
  "machine": {
    "device": "cpu"
  },
  "created": "2025-01-02T03:04:05Z"
}
"""


def read(raw: bytes) -> CheckpointMeta:
    value = parse_object(raw, "smart.json")
    return CheckpointMeta.checked(value, value["name"])


@pytest.mark.parametrize("raw", [TRAINED, ENSEMBLE, LEAST, NEWER], ids=["trained", "ensemble", "least", "newer"])
def test_what_was_read_is_written_back_byte_for_byte(raw: bytes) -> None:
    assert canonical_json(read(raw).to_json()) == raw


@pytest.mark.parametrize("raw", [TRAINED, LEAST, NEWER], ids=["trained", "least", "newer"])
def test_an_imported_checkpoint_says_last_where_it_comes_from_and_keeps_the_rest(raw: bytes) -> None:
    renamed = replace(read(raw), name="mine", imported=Reference(name="theirs", manifest="789"))
    expected = json.loads(raw) | {"name": "mine", "imported": {"name": "theirs", "manifest": "789"}}
    written = canonical_json(renamed.to_json())
    assert written == canonical_json(expected)
    assert canonical_json(read(written).to_json()) == written


def test_a_new_record_has_the_keys_of_the_files_on_disk_in_their_order() -> None:
    trained, whole = json.loads(TRAINED), read(TRAINED)
    fresh = CheckpointMeta(
        **{key: trained[key] for key in trained if key not in ("format", "encoder", "data", "lineage")},
        encoder=EncoderRecord(id="minilm", model_type="bert", tokenizer="abc"),
        data=DataRecord(name="demo", source="demo", fingerprint="fff"),
        lineage=Lineage(init=Reference(name="ckpt1", manifest="123")),
    )
    assert fresh == whole
    assert canonical_json(fresh.to_json()) == TRAINED
    ensemble = read(ENSEMBLE)
    members = tuple(Reference(name=one.name, manifest=one.manifest) for one in ensemble.lineage.members)
    again = replace(
        ensemble,
        keys=None,
        data=DataRecord(name="demo", fingerprint="fff"),
        lineage=Lineage(members=members, selection=ensemble.lineage.selection),
    )
    assert canonical_json(again.to_json()) == ENSEMBLE


def test_absent_keys_have_a_value_and_unknown_ones_are_kept() -> None:
    least, newer = read(LEAST), read(NEWER)
    assert (least.method, least.command, least.encoder, least.metrics, least.seconds) == ("", [], None, {}, None)
    assert (least.data.name, least.lineage.references, least.encoder_ids) == ("", (), [])
    assert newer.more == {"keys": ["a name of ours"], "more": None}
    assert [(one.name, one.manifest) for one in newer.lineage.references] == [("ckpt1", None), ("ckpt2", "456")]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, '"format" must be 1, found 2; a newer smart-finetune may have written it'),
        (
            {"kind": "x"},
            "\"kind\" must be one of pretrain-qqp, finetune, ensemble, soup, distill, pretrain-text; found 'x'",
        ),
        ({"command": "smart"}, "\"command\" must be list, found 'smart'"),
        ({"encoder": 3}, '"encoder" must be dict or NoneType, found 3'),
        ({"seconds": True}, '"seconds" must be int or float or NoneType, found True'),
        ({"data": {}}, '"data" must hold the data set\'s "fingerprint"'),
        ({"lineage": {"members": None}}, '"lineage" must hold a list of "members"'),
        ({"lineage": {"init": 3}}, '"lineage" must name checkpoints, found 3'),
        ({"lineage": {"members": [{}]}}, '"lineage" must name checkpoints, found {}'),
    ],
)
def test_what_is_wrong_is_named_by_its_key(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SmartCliError) as caught:
        CheckpointMeta.checked(make_meta("one", **changes), "one")
    assert str(caught.value) == says


@pytest.mark.parametrize("key", ["settings", "data", "lineage"])
def test_a_key_without_which_nothing_can_be_done_must_be_there(key: str) -> None:
    value = make_meta("one")
    del value[key]
    with pytest.raises(SmartCliError, match=f'^"{key}" is missing$'):
        CheckpointMeta.checked(value, "one")


def test_tasks_scores_and_encoders_are_said_in_words_of_their_own() -> None:
    found = CheckpointMeta.checked(make_meta("one"), "one")
    assert (found.task_names, found.overall, found.encoder_ids) == ([TASKS[0]["name"]], 0.75, ["minilm"])
    assert (found.ensemble, read(ENSEMBLE).ensemble, read(ENSEMBLE).encoder_ids) == (False, True, ["minilm"])


def test_a_runs_header_is_stored_byte_for_byte_and_read_back(home: Home) -> None:
    header = RunHeader.from_json(json.loads(RUN))
    assert canonical_json(header.to_json()) == RUN
    new = RunHeader(
        command="finetune",
        argv=["smart", "finetune"],
        settings={"seed": 7},
        data=DataRecord(name="demo", fingerprint="fff"),
        encoder=EncoderRecord(id="minilm", model_type="bert", tokenizer="abc"),
        machine={"device": "cpu"},
        created="2025-01-02T03:04:05Z",
    )
    assert canonical_json(new.to_json()) == RUN
    run = Runs(home).create("mine", new)
    assert (run.folder / "run.json").read_bytes() == seal({"format": 1, "name": "mine", **json.loads(RUN)})
    assert run.header == header


def test_a_folder_that_was_renamed_is_named_with_what_to_do() -> None:
    with pytest.raises(SmartCliError, match="rename the folder back"):
        CheckpointMeta.checked(make_meta("one"), "other")


def test_a_vote_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SmartCliError, match=r"one of mode, mean as \"vote\", found 'best'"):
        CheckpointMeta.checked(make_meta("a", lineage={"init": None, "members": [], "vote": "best"}), "a")


def test_a_record_without_a_vote_is_by_mode_and_keeps_its_bytes() -> None:
    raw = make_meta("a")
    found = CheckpointMeta.checked(raw, "a")
    assert found.vote == "mode"
    assert found.to_json() == raw
