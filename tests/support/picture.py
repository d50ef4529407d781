"""Makes the README's picture of the page: `python -m tests.support.picture deploy/page.png`.

Everything on it happened: a broker, simulated appliances of which one is in trouble, commands.
"""

import asyncio
import struct
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path

from playwright.async_api import expect

from service.demo.broker import running_broker
from tests.support.browser import browsing, looking
from tests.support.stand import Appliances, Stand, standing
from tests.support.workflow import Json, Workflow, command, gather_answers, licence, working

_LARGEST = 150_000
_FILE: Json = {"name": "a.lic", "content": "YWJjZA=="}


async def _happen(appliances: Appliances, workflow: Workflow) -> None:
    """Bring about some of everything."""
    fault = appliances.fault
    await fault("fvc-1", operation="apply", action="reset", when="after", times=1)
    await fault("fvc-2", operation="devices", action="answer", status=503)
    for name in ("fac-1", "fvc-1"):
        await appliances.order("PATCH", f"/switches/{name}", {"latency": 0.15})
    some = [
        command("apply-voice-license", {"appliance": "fvc-1", "file": _FILE}, id="order-20407"),
        *(_balance(number) for number in range(20408, 20424)),
        command("query-devices", {"appliance": "fvc-7"}, id="order-20424"),
    ]
    await workflow.send(*some)
    await gather_answers(workflow, [each["id"] for each in some], patience=60)
    wrong = command("activate-sms-license", {"appliance": "fac-1", "licence": ""}, id="order-20425")
    activations = [
        command(
            "activate-sms-license",
            {"appliance": "fac-1", "license": licence(number)},
            id=f"order-{20425 + number}",
        )
        for number in range(1, 5)
    ]
    await workflow.send(wrong, *activations)
    await gather_answers(workflow, [each["id"] for each in activations], patience=60)
    await workflow.send(
        *(command("query-devices", {"appliance": f"fvc-{n}"}, id=f"order-2043{n}") for n in (1, 2))
    )


def _balance(number: int) -> Json:
    return command("query-sms-balance", {"appliance": "fac-1"}, id=f"order-{number}")


async def _picture(stand: Stand, file: Path) -> None:
    appliances = await stand.appliances("--fortiauthenticators", "2", "--fortivoices", "2")
    service = await stand.service(LOG_LEVEL="INFO", RETRY_DELAYS="120")
    async with (
        working(stand.url) as workflow,
        browsing() as browser,
        looking(browser, service.http, height=1250) as looked,
    ):
        page = looked.page
        await _happen(appliances, workflow)
        await expect(page.locator("#running")).to_contain_text("appliance-error")
        await expect(page.locator("#attention li")).to_have_count(2)
        await page.locator('#ended tr.row:has(td.id[title="order-20427"])').click()
        await expect(page.locator(".story ol")).to_be_visible()
        await page.mouse.move(0, 0)
        picture = _with_palette(await page.screenshot(type="png"))
    if len(picture) > _LARGEST:
        raise SystemExit(f"the picture has {len(picture)} bytes; {_LARGEST} are enough")
    await asyncio.to_thread(file.write_bytes, picture)


def _with_palette(png: bytes) -> bytes:
    """Write a PNG of 24 bits per pixel with its 256 most frequent colours: a third of the size."""
    chunks, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        chunks.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    assert (8, 2) == (depth, kind)
    raw = zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    pixels = list(struct.iter_unpack("3s", _unfiltered(raw, width * 3)))
    counted = Counter(pixel for (pixel,) in pixels).most_common()
    palette = [colour for colour, _ in counted[:256]]
    index = {colour: _nearest(colour, palette) for colour, _ in counted}
    flat = bytes(index[pixel] for (pixel,) in pixels)
    rows = b"".join(b"\0" + flat[row * width : (row + 1) * width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    made = [(b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(rows, 9))]
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*made, (b"IEND", b"")]
    )


def _unfiltered(raw: bytes, stride: int) -> bytes:
    """Undo PNG's filters (PNG Specification, 9.2)."""
    above, rows = bytearray(stride + 3), []
    for start in range(0, len(raw), stride + 1):
        kind, row = raw[start], bytearray(3) + raw[start + 1 : start + 1 + stride]
        if kind:
            for at in range(3, stride + 3):
                left, up, corner = row[at - 3], above[at], above[at - 3]
                guess = left + up - corner
                paeth = min((left, up, corner), key=lambda each: abs(guess - each))
                row[at] = (row[at] + (0, left, up, (left + up) // 2, paeth)[kind]) % 256
        rows.append(bytes(row[3:]))
        above = row
    return b"".join(rows)


def _nearest(colour: bytes, palette: list[bytes]) -> int:
    return min(
        range(len(palette)),
        key=lambda at: sum((a - b) ** 2 for a, b in zip(colour, palette[at], strict=True)),
    )


async def _main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with (
            running_broker(given=None, say=print) as broker,
            standing(broker.url, Path(directory)) as stand,
        ):
            await _picture(stand, file)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
