"""Shapes of the parameters of parts that only some types have."""

from __future__ import annotations

from smartcli.families.spec import EncoderSpec

POSITION_PARTS = {"p2c": "pos_query", "c2p": "pos_key"}
"""Term of disentangled attention -> the projection of relative positions that it reads."""


def own_positions(spec: EncoderSpec) -> tuple[str, ...]:
    """Return the projections of relative positions that each layer has for itself."""
    part = spec.disentangled
    return () if part is None or part.shared else tuple(POSITION_PARTS[term] for term in part.terms)


def beside_layers(spec: EncoderSpec) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what stands beside the layers in disentangled attention and convolution."""
    width, shapes = spec.hidden_size, dict[str, tuple[int, ...]]()
    if spec.disentangled is not None:
        shapes["encoder.rel_embeddings.weight"] = (2 * spec.disentangled.span, width)
        if spec.disentangled.normed:
            shapes |= _pair("encoder.LayerNorm", (width,), width)
    if spec.convolution is not None:
        shapes |= _pair("encoder.conv.conv", (width, width, spec.convolution.kernel), width)
        shapes |= _pair("encoder.conv.LayerNorm", (width,), width)
    return shapes


def _pair(module: str, weight: tuple[int, ...], bias: int) -> dict[str, tuple[int, ...]]:
    return {f"{module}.weight": weight, f"{module}.bias": (bias,)}
