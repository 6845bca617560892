"""The table of encoder types."""

from __future__ import annotations

from smartcli.families import bert, camembert, deberta_v2, distilbert, electra, modernbert, mpnet, roberta, xlm_roberta
from smartcli.families.family import Family

FAMILIES: dict[str, Family] = {
    module.FAMILY.model_type: module.FAMILY
    for module in (bert, mpnet, roberta, distilbert, electra, xlm_roberta, camembert, deberta_v2, modernbert)
}
SUPPORTED = ", ".join(FAMILIES)
