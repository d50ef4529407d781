"""`courier serve` that prunes its ledger every second instead of every hour.

So a campaign sees what a clock that is wrong for some seconds makes of the ledger.
"""

import sys
from typing import Final

from service import app
from service.__main__ import main

INTERVAL: Final = 1.0
"""Seconds."""
PROGRAM: Final = (sys.executable, "-m", "tests.campaign.hasty")

if __name__ == "__main__":
    assert app.PRUNE_INTERVAL > INTERVAL
    app.PRUNE_INTERVAL = INTERVAL
    main()
