"""The bare loop over one FortiVoice's phones: log in, read page after page, count the rows.

Prints one line of JSON: seconds from the first page's request to the last row, `devices`, and the
most memory that it had. `BENCH_APPLIANCE` chooses another FortiVoice than the first.
"""

import asyncio
import json
import os
import resource
import sys
import time

import httpx
from httpx_aiohttp import AiohttpTransport

from tests.benchmarks.peers.shared import Appliance, Json, Settings

_PAGE = 500


async def _log_in(client: httpx.AsyncClient, appliance: Appliance) -> str:
    """Log in and return the cookie as it came: a jar would undo its percent signs' case."""
    wish = {"name": appliance.username, "password": appliance.password}
    answer = (await client.post("/api/v1/VoiceadminLogin", json=wish)).raise_for_status()
    return str(answer.headers["Set-Cookie"]).partition(";")[0]


async def _page(client: httpx.AsyncClient, cookie: str, start: int) -> Json:
    params = {
        "reqAction": "1",
        "mdomain": "system",
        "startIndex": str(start),
        "pageSize": str(_PAGE),
        "extraParam": "",
    }
    answer = await client.get("/api/v1/DeviceSip_phone", params=params, headers={"Cookie": cookie})
    text = answer.raise_for_status().text
    try:
        page: Json = json.loads(text)
    except json.JSONDecodeError:
        # The vendor's own sample has a lone backslash in a phone's type.
        page = json.loads(text.replace("\\", "\\\\"))
    return page


async def count(appliance: Appliance) -> tuple[int, float]:
    """Read the whole list; return how many rows it has and how many seconds that took."""
    async with httpx.AsyncClient(
        base_url=appliance.url,
        headers={"Accept": "application/json"},
        transport=AiohttpTransport(verify=appliance.tls, trust_env=False),
        timeout=30,
        trust_env=False,
    ) as client:
        cookie = await _log_in(client, appliance)
        devices, began = 0, time.perf_counter()
        while rows := (await _page(client, cookie, devices))["collection"]:
            devices += len(rows)
            if len(rows) < _PAGE:
                break
        return devices, time.perf_counter() - began


def main() -> None:
    """Count, and tell."""
    appliances = Settings.read().appliances("fortivoice")
    name = os.environ.get("BENCH_APPLIANCE") or next(iter(appliances))
    devices, seconds = asyncio.run(count(appliances[name]))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"seconds": round(seconds, 4), "devices": devices, "rss_mib": round(most, 1)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
