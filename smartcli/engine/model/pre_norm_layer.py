"""A layer whose halves read a LayerNorm of the sums between them, which nothing else norms.

x ← x + attention(norm(x)); x ← x + feed(norm(x)) (Xiong et al. 2020, arXiv 2002.04745, figure 1b). A half's end and the
next one's LayerNorm are one operation here: what is called a layer's last norm is the next layer's first, or the
encoder's final one, and the first layer reads the embeddings as they are.
"""

from __future__ import annotations

from torch import Tensor, nn

from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.layer import Layer
from smartcli.engine.model.residual import add_and_norm, sum_and_norm


class PreNormLayer(Layer):
    """The layer of the module's docstring; what it returns is the sum, and the norm that the next half reads."""

    def first_rows(self, x: Tensor, read: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        return pick(x, starts), pick(read, starts)

    def join(
        self, part: Tensor, mask: Tensor | None, rows: Tensor, norm: nn.LayerNorm, *, read: bool, final: bool
    ) -> tuple[Tensor, Tensor]:
        # After the last half nobody goes on from the sum: the encoder's vectors are its norm.
        return add_and_norm(part, mask, rows, norm) if final else sum_and_norm(part, mask, rows, norm)
