"""The breaches that were proven in the service, each as a search that must find it in `LANDED`."""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.model import scenarios
from tests.model.scenarios import Scenario  # noqa: TC001  a NamedTuple reads it


class Breach(NamedTuple):
    """One breach: its row in the list of breaches, the bounds, and the invariant that breaks."""

    slug: str
    scenario: Scenario
    wanted: str


BREACHES: Final = (
    Breach("1-false-expired", scenarios.SMS, "false expired"),
    Breach("2-two-ledgers", scenarios.TWO_LEDGERS, "the write of one command is sent twice"),
    Breach("2-two-bodies", scenarios.TWO_LEDGERS_LATER, "one event id has two bodies"),
    Breach("3-needless-unknown", scenarios.WITHDRAWN, "unknown is needless"),
    Breach("4-pruned", scenarios.CLOCK, "the write of one command is sent twice"),
    Breach("5-url-change", scenarios.URL, "false succeeded"),
    Breach("5-url-change-same-total", scenarios.URL_SAME, "false failed"),
    Breach("5-rename", scenarios.RENAME, "a write leaves while another command's intent is open"),
    Breach("7-age-after-repeat", scenarios.FENCE, "a write leaves after its command has a result"),
)

NEW: Final = (
    Breach("new-stale-baseline", scenarios.TWO_COMMANDS, "false figures"),
    Breach("new-lost-apply", scenarios.TWO_APPLIES, "two commands' writes are under way"),
    Breach(
        "new-unknown-too-early", scenarios.APPLY, "a write leaves after its command has a result"
    ),
    Breach("new-give-up", scenarios.LIMIT, "an intent is closed while its writer holds the lock"),
    Breach("new-restored", scenarios.RESTORE, "the write of one command is sent twice"),
    Breach("new-alias", scenarios.ALIAS, "false succeeded"),
    Breach("new-swap", scenarios.SWAP, "false succeeded"),
)
"""Further ones that the model found."""
