"""Explores everything to the end and writes `tests/model/report`; some minutes."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.model.report import write_report

sys.exit(not write_report(Path(__file__).parent / "report"))
