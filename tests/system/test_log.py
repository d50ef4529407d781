"""The event log of a service that runs, and `courier log` beside it as a person has it."""

import asyncio
import base64
import json
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.stand import COURIER, ROOT, Service
from tests.support.wait import until
from tests.support.workflow import Workflow, command, licence

pytestmark = pytest.mark.asyncio(loop_scope="module")

INTERRUPTED = 130
ORDINARY: dict[str, dict[str, Any]] = {
    "query-sms-balance": {"appliance": "fac-1"},
    "activate-sms-license": {"appliance": "fac-1", "license": licence(1)},
    "apply-voice-license": {
        "appliance": "fvc-1",
        "file": {"name": "a.lic", "content": base64.b64encode(b"a licence file\n").decode()},
    },
    "query-devices": {"appliance": "fvc-1"},
}


def line(slug: str, **fields: object) -> str:
    first = {"timestamp": "2026-03-04T09:12:31.482Z", "level": "info", "event": slug}
    return json.dumps(first | fields) + "\n"


class Log:
    """`courier log`, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for text in self.process.stdout:
            self.printed.append(text.decode().rstrip("\n"))

    async def shows(self, *texts: str) -> None:
        """Wait until it has printed these and nothing else since the last time, by their ends."""
        await until(lambda: len(self.printed) >= len(texts))
        assert list(texts) == [each.split("  ")[-1].strip() for each in self.printed]
        self.printed.clear()

    async def end(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        async with asyncio.timeout(20):
            await self._reading
            return await self.process.wait()


@pytest.fixture
async def logs() -> AsyncIterator[list[Log]]:
    """Those that a test starts; they end with it."""
    started: list[Log] = []
    yield started
    for each in started:
        if each.process.returncode is None:
            await each.end(signal.SIGKILL)


async def reading(
    logs: list[Log], *arguments: str, given: int | IO[bytes] | None = asyncio.subprocess.DEVNULL
) -> Log:
    """Start `courier log`."""
    process = await asyncio.create_subprocess_exec(
        *(*COURIER, "log", *arguments), cwd=ROOT, stdin=given, stdout=PIPE
    )
    logs.append(Log(process))
    return logs[-1]


async def test_an_ordinary_command_leaves_at_most_six_lines(
    service: Service, workflow: Workflow
) -> None:
    """From its receipt to the confirm of its result, of every kind; each line says whose it is."""
    for name, data in ORDINARY.items():
        wish = command(name, data, correlationid=f"wf-{name}", time="2026-03-04T09:12:31Z")
        await workflow.send(wish)
        await workflow.answer(wish["id"])
        about = {
            "command_id": wish["id"],
            "command_type": wish["type"],
            "correlation_id": f"wf-{name}",
            "appliance": data["appliance"],
        }
        await until(partial(service.events, "result-told", **about))
        told = [json.loads(text) for text in service.lines if wish["id"] in text]
        assert 5 <= len(told) <= 6, [each["event"] for each in told]
        assert [about] * len(told) == [{key: each.get(key) for key in about} for each in told]
        assert ("command-received", "result-told") == (told[0]["event"], told[-1]["event"])
        assert told[0]["waited_ms"] > 0
        assert 0 < told[-1]["duration_ms"] < 5000


async def test_a_services_log_is_told_by_command(
    service: Service, workflow: Workflow, logs: list[Log], tmp_path: Path
) -> None:
    """What happened to one command, in the order in which it did, and nothing about others."""
    wish, other = (command("query-devices", {"appliance": "fvc-1"}) for _ in range(2))
    await workflow.send(wish, other)
    for each in (wish["id"], other["id"]):
        await workflow.answer(each)
        await until(partial(service.events, "result-told", command_id=each))
    file = tmp_path / "courier.log"
    file.write_text("\n".join(service.written))
    log = await reading(logs, str(file), "--timeline", "--command", wish["id"])
    assert 0 == await log.process.wait()
    await until(lambda: log.printed and not log.printed[-1])
    header, *steps = (each for each in log.printed if each and " debug " not in each)
    assert f"{wish['id']}  query-devices  fvc-1  succeeded" == header.split(" in ")[0]
    slugs = [json.loads(each)["event"] for each in service.lines if wish["id"] in each]
    assert slugs == [each.split()[3] for each in steps]


async def test_a_file_is_followed_through_its_rotation(logs: list[Log], tmp_path: Path) -> None:
    """What is written to it comes, also after it was renamed or cut off; Ctrl-C ends with 130."""
    file, old = tmp_path / "courier.log", tmp_path / "courier.log.1"
    file.write_text(line("first"))
    log = await reading(logs, "-f", str(file))
    await log.shows("-- 2026-03-04 --", "first")
    with file.open("a") as writer:
        writer.write(line("second") + line("third")[:20])
        writer.flush()
        await log.shows("second")
        writer.write(line("third")[20:])
        writer.flush()
        await log.shows("third")
        file.rename(old)
        writer.write(line("to-the-old-one"))
        writer.flush()
        await log.shows("to-the-old-one")
        writer.write(line("last-of-the-old-one"))
    file.write_text(line("first-of-the-new-one"))
    await log.shows("last-of-the-old-one", "first-of-the-new-one")
    file.write_text(line("cut-off"))
    await log.shows("cut-off")
    assert INTERRUPTED == await log.end()


async def test_a_timeline_that_is_followed_tells_what_has_ended(
    logs: list[Log], tmp_path: Path
) -> None:
    """At once, and not only when another command has ended."""
    file = tmp_path / "courier.log"
    file.write_text(line("command-received", command_id="c-1"))
    log = await reading(logs, "-f", "--timeline", str(file))
    with file.open("a") as writer:
        writer.write(line("result-told", command_id="c-1") + line("x", command_id="c-2"))
    await until(lambda: len(log.printed) >= 4)
    assert ["c-1", "0", "0", ""] == [each.split(" ")[0] or each.strip()[:1] for each in log.printed]
    assert INTERRUPTED == await log.end()


async def test_a_pipe_is_read_as_it_comes(logs: list[Log]) -> None:
    """Line by line, to its end; that end is no error."""
    read, write = os.pipe()
    log = await reading(logs, "--level", "info", given=read)
    os.close(read)
    os.write(write, line("first").encode() + b"words\n")
    await log.shows("-- 2026-03-04 --", "first")
    os.write(write, line("second")[:-1].encode())
    os.close(write)
    await log.shows("second")
    async with asyncio.timeout(20):
        assert 0 == await log.process.wait()


@pytest.mark.parametrize(
    ("options", "lines"), [((), 20_000), (("-f",), 1)], ids=["while it writes", "while it waits"]
)
async def test_who_reads_no_more_ends_it_quietly(
    options: tuple[str, ...], lines: int, tmp_path: Path
) -> None:
    """`courier log -f FILE | head -1` ends, although nothing more is written."""
    file = tmp_path / "courier.log"
    file.write_text(line("first") * lines)
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(*COURIER, "log", *options, str(file)), cwd=ROOT, stdout=write, stderr=PIPE
    )
    os.close(write)
    printed = b""
    while b"first\n" not in printed:
        printed += await asyncio.to_thread(os.read, read, 4096)
    os.close(read)
    async with asyncio.timeout(20):
        _, complaints = await process.communicate()
    assert (0, b"") == (process.returncode, complaints)
