"""Each type's facts together: our encoder on a folder of that type equals transformers' model of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartcli.data.joining import join_pair
from smartcli.data.ragged import Ragged
from smartcli.families.family_table import FAMILIES
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.families.weights import open_weights
from tests.tiny import WORDS, make_tiny_encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
LENGTHS = [(1, 3), (5, 2), (60, 40), (20, 9)]
V2 = {"conv_kernel_size": 3, "conv_act": "gelu", "type_vocab_size": 2}
NO_RELATIVE: dict[str, Any] = {
    "relative_attention": False, "pos_att_type": None, "norm_rel_ebd": None, "position_biased_input": True
}  # fmt: skip
DEBERTAS: list[dict[str, Any]] = [
    V2,
    {**V2, "num_hidden_layers": 1, "conv_kernel_size": 5, "conv_act": "tanh"},
    {**V2, "share_att_key": False, "norm_rel_ebd": "none", "type_vocab_size": 1},
    {"share_att_key": False, "pos_att_type": ["c2p"], "embedding_size": 16},
    {"share_att_key": False, "pos_att_type": "p2c", "position_biased_input": True, "embedding_size": 48},
    {"pos_att_type": "p2c"},
    {"pos_att_type": "c2p"},
    {"position_buckets": -1, "max_relative_positions": 24},
    {"position_buckets": 64, "max_relative_positions": 512},
    {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 6,
        "intermediate_size": 96,
        "hidden_act": "relu",
    },
    NO_RELATIVE,
    {**NO_RELATIVE, **V2, "embedding_size": 16},
]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((model_type, {}) for model_type in FAMILIES),
    ("bert", {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5}),
    ("bert", {"hidden_act": "relu", "type_vocab_size": 1}),
    ("distilbert", {"activation": "relu"}),
    ("electra", {"embedding_size": 32, "hidden_act": "gelu_new"}),
    *(("deberta-v2", config) for config in DEBERTAS),
    ("mpnet", {"layer_norm_eps": 1e-12, "relative_attention_num_buckets": 32}),
    ("modernbert", {"hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 5, "local_attention": 20}),
    ("modernbert", {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "hidden_activation": "gelu_new"}),
    ("modernbert", {"hidden_size": 64, "num_attention_heads": 8, "num_hidden_layers": 3, "intermediate_size": 96}),
]


def reference(model: Any, ids: Any, types: Any, give_types: bool) -> dict[str, Any]:
    given = {"input_ids": torch.tensor([ids])}
    if give_types:
        given["token_type_ids"] = torch.tensor([types])
    with torch.no_grad():
        out = model(**given)
    hidden = out.last_hidden_state[0]
    found = {"cls": hidden[0], "mean": hidden.mean(0)}
    return found | ({"pooler": out.pooler_output[0]} if "pooler_output" in out else {})


@pytest.mark.parametrize(("model_type", "config"), VARIANTS)
def test_packed_pairs_equal_transformers_one_by_one(tmp_path: Path, model_type: str, config: dict[str, Any]) -> None:
    """Within 1e-5 in fp32; measured 7e-7, the rounding of sums in another order."""
    from smartcli.engine.model.build import read_weights
    from smartcli.engine.model.encoder import Encoder
    from smartcli.engine.model.encoder_tensors import fill
    from smartcli.engine.model.packing import pack

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = make_tiny_encoder(tmp_path, model_type, **config)
    spec = read_spec(folder)
    tokenizer = SentenceTokenizer.from_folder(folder, spec)
    weights = open_weights(folder, spec)
    encoder = Encoder(spec, pooler=weights.has_pooler)
    fill(encoder, read_weights(weights))
    draw = np.random.default_rng(0)
    sides = [tokenizer.encode([" ".join(draw.choice(WORDS, pair[side])) for pair in LENGTHS]) for side in (0, 1)]
    joined = join_pair(tokenizer.template, [Ragged.of(side) for side in sides], np.arange(4), 128)
    batch = pack({"task": [joined]})
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    for number, (first, second) in enumerate(zip(*sides, strict=True)):
        ids, types = tokenizer.template.pair(tuple(first.tolist()), tuple(second.tolist()))
        expected = reference(model, ids, types, give_types=spec.token_types == 2)
        assert ("pooler" in expected) == weights.has_pooler
        for pooling, vector in expected.items():
            with torch.no_grad():
                ours = encoder(encoder.look_up(batch), batch, pooling=pooling)
            torch.testing.assert_close(ours[batch.outputs["task"][0][number]], vector, atol=1e-5, rtol=0)
