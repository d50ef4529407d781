"""`python -m tests.fuzz`: mutated messages through the decoder, or through the running service.

Exit codes: 0 when nothing was found; 1 otherwise. The same seed makes the same messages.
"""

import argparse
import asyncio
import multiprocessing
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.fuzz.decoder import Tally, fuzz
from tests.fuzz.report import Json, write
from tests.fuzz.through import through_a_service

REPORT: Final = Path(__file__).parent / "report"
_CHUNK: Final = 5000


def decoder(given: argparse.Namespace) -> Json:
    """Send messages through the decoder, in several processes."""
    began = time.monotonic()
    whole = Tally()
    chunks = range(given.seed, given.seed + -(-given.decoder // _CHUNK))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, mp_context=spawn) as pool:
        for tally in pool.map(fuzz, chunks, [_CHUNK] * len(chunks)):
            whole.add(tally)
    return {
        "messages": whole.count,
        "seeds": f"{chunks.start}-{chunks.stop - 1}",
        "mebibytes": whole.bytes // 2**20,
        "seconds": round(time.monotonic() - began),
        "slowest_message_cpu_seconds": round(whole.slowest, 3),
        "held_against_their_contracts": whole.held_against_contracts,
        "deliveries_with_mutated_amqp_properties": whole.copies,
        "distinct_texts_of_rejections": len(whole.messages),
        **_versions(),
        "outcomes": dict(whole.outcomes.most_common()),
        "findings": whole.findings,
    }


def _versions() -> Json:
    return {"python": platform.python_version(), "appliance_courier": version("appliance-courier")}


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--decoder", type=int, metavar="COUNT", help="messages for the decoder")
    what.add_argument("--service", type=int, metavar="COUNT", help="messages for a running service")
    parser.add_argument("--seed", type=int, default=1, help="of the first chunk")
    parser.add_argument("--workers", type=int, default=2, help="processes, for the decoder")
    parser.add_argument("--report", type=Path, default=REPORT, metavar="DIR")
    return parser.parse_args(words)


def main() -> int:
    """Do it, and write the report."""
    given = arguments()
    if given.decoder:
        name, figures = "decoder", decoder(given)
    else:
        name = "service"
        figures = asyncio.run(through_a_service(given.service, given.seed)) | _versions()
    page = write(name, figures, given.report)
    for each in figures["findings"][:20]:
        print(f"FOUND: {each[:300]}")  # noqa: T201 - it is a program
    print(f"{figures['messages']} messages, {len(figures['findings'])} findings; {page}")  # noqa: T201
    return 1 if figures["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
