"""`courier send --bulk FILE`: each row once, whatever happens to whoever sends them."""

import asyncio
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.rabbit import Rabbit
from tests.support.stand import COURIER, ROOT, Appliances, Json, Process, Service, Stand
from tests.support.wait import until
from tests.support.workflow import licence

shared = pytest.mark.asyncio(loop_scope="module")
SMS = ("send", "activate-sms-license", "--appliance", "fac-1", "--bulk")


def filled(path: Path, numbers: range) -> Path:
    path.write_text("license\n" + "".join(f"{licence(number)}\n" for number in numbers))
    return path


def results(path: Path) -> list[Json]:
    """The whole lines of the result file, if it is there."""
    file = path.with_name(f"{path.name}.results.jsonl")
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


async def spent(appliances: Appliances, numbers: range) -> list[int]:
    """How often each licence was written."""
    posts = (await appliances.books("fac-1"))["posts"]
    return [posts.get(licence(number), 0) for number in numbers]


@shared
async def test_every_row_is_sent_once_at_its_pace_and_written_down(
    shared_stand: Stand, service: Service, appliances: Appliances, tmp_path: Path
) -> None:
    """A second run sends nothing and says the same; so does one without the result file."""
    numbers = range(100, 106)
    path = filled(tmp_path / "a.csv", numbers)
    exit_code, output = await shared_stand.courier(*SMS, str(path), "--rate", "5")
    assert 0 == exit_code, output
    lines = results(path)
    assert {("succeeded", "added", 1)} == {
        (line["conclusion"], line["effect"], line["attempt"]) for line in lines
    }
    assert list(range(2, 8)) == sorted(line["row"] for line in lines)
    assert [1] * 6 == await spent(appliances, numbers)
    received = service.events("command-received", command_type="courier.activate-sms-license.v1")
    at = [line["timestamp"] for line in received if line["command_id"] in str(lines)]
    first, last = (float(each[17:23]) for each in (at[0], at[-1]))
    assert 0.9 <= (last - first) % 60

    assert 0 == (await shared_stand.courier(*SMS, str(path)))[0]
    assert lines == results(path)
    path.with_name("a.csv.results.jsonl").unlink()
    assert 0 == (await shared_stand.courier(*SMS, str(path), "--rate", "100"))[0]
    assert {line["id"] for line in lines} == {line["id"] for line in results(path)}
    assert [1] * 6 == await spent(appliances, numbers)
    assert licence(100) not in path.with_name("a.csv.results.jsonl").read_text()


@shared
async def test_of_a_file_with_a_bad_row_nothing_is_sent(
    shared_stand: Stand, service: Service, appliances: Appliances, tmp_path: Path
) -> None:
    """Exit code 2; every bad row is told by its line and field, never by what stands in it."""
    assert service.process.returncode is None
    numbers = range(110, 112)
    path = filled(tmp_path / "b.csv", numbers)
    path.write_text(f"{path.read_text()}hunter2\nhunter2,hunter2\n")
    exit_code, output = await shared_stand.courier(*SMS, str(path))
    assert (2, [0, 0], []) == (exit_code, await spent(appliances, numbers), results(path))
    assert ["line 4: license:", "line 5: has 2"] == [
        word for word in ("line 4: license:", "line 5: has 2", "line 2:") if word in output
    ]
    assert "hunter2" not in output


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--license", "x"), "--license"),
        (("--source", "no uri"), "--source"),
    ],
)
@shared
async def test_options_that_do_not_go_with_a_file_are_usage(
    options: tuple[str, ...], named: str, shared_stand: Stand, tmp_path: Path
) -> None:
    """Exit code 2, and nothing is sent."""
    path = filled(tmp_path / "c.csv", range(1))
    exit_code, output = await shared_stand.courier(*SMS, str(path), *options)
    assert (2, True) == (exit_code, named in output)


@shared
async def test_killed_in_the_middle_it_goes_on_where_it_stopped(
    shared_stand: Stand, service: Service, appliances: Appliances, tmp_path: Path
) -> None:
    """Every licence is spent once, and the result file is whole."""
    assert service.process.returncode is None
    numbers = range(120, 140)
    path = filled(tmp_path / "d.csv", numbers)
    await appliances.fault("fac-1", operation="activate", action="delay", seconds=0.1, times=20)
    sending = await Process.start(*SMS, str(path), "--rate", "50", env=shared_stand.environment())
    await until(lambda: len(results(path)) >= 3)
    assert -signal.SIGKILL == await sending.end(signal.SIGKILL)
    assert 3 <= len(results(path)) < 20
    exit_code, output = await shared_stand.courier(*SMS, str(path), "--rate", "100")
    assert 0 == exit_code, output
    assert [1] * 20 == await spent(appliances, numbers)
    assert list(range(2, 22)) == sorted(line["row"] for line in results(path))
    assert {"succeeded"} == {line["conclusion"] for line in results(path)}


@shared
async def test_what_is_unknown_is_listed_and_never_sent_again(
    shared_stand: Stand, service: Service, appliances: Appliances, tmp_path: Path
) -> None:
    """Exit code 3, also of a second run; the licence files stand beside the bulk file."""
    assert service.process.returncode is None
    for name in ("a.lic", "b.lic"):
        (tmp_path / name).write_text(f"the licence in {name}, {tmp_path}")
    path = tmp_path / "e.csv"
    path.write_text("file,appliance\na.lic,\nb.lic,fvc-1\n")
    await appliances.fault("fvc-1", operation="apply", action="reset", when="after", times=1)
    told = ("send", "apply-voice-license", "-a", "fvc-1", "--bulk", str(path), "--in-flight", "1")
    for _ in range(2):
        exit_code, output = await shared_stand.courier(*told)
        assert 3 == exit_code, output
        assert f"unknown (outcome-unknown)  id {results(path)[0]['id']}" in output
        assert "courier ledger resolve" in output
    assert ["unknown", "succeeded"] == [line["conclusion"] for line in results(path)]
    assert 2 == (await appliances.books("fvc-1"))["requests"]["apply"]


@shared
async def test_what_failed_is_sent_again_when_somebody_says_so(
    shared_stand: Stand, service: Service, appliances: Appliances, tmp_path: Path
) -> None:
    """Under a new id, which the second line of the row has; exit code 1 until it is done."""
    assert service.process.returncode is None
    path = filled(tmp_path / "f.csv", range(150, 151))
    await appliances.fault("fac-1", operation="balance", action="answer", status=503, times=1)
    command = (*SMS, str(path))
    exit_code, output = await shared_stand.courier(*command, "--expires-in", "0.9")
    assert 1 == exit_code, output
    assert "--retry-failed" in output
    assert 1 == (await shared_stand.courier(*command))[0]
    exit_code, output = await shared_stand.courier(*command, "--retry-failed")
    assert 0 == exit_code, output
    assert [("failed", 1), (None, 2), ("succeeded", 2)] == [
        (line["conclusion"], line["attempt"]) for line in results(path)
    ]
    assert 2 == len({line["id"] for line in results(path)})
    assert [1] == await spent(appliances, range(150, 151))


@shared
async def test_a_query_for_each_row_brings_what_was_read(
    shared_stand: Stand, service: Service
) -> None:
    """From standard input, too; refused rows make exit code 1."""
    assert service.process.returncode is None
    where = shared_stand.directory / "q.results"
    process = await asyncio.create_subprocess_exec(
        *COURIER,
        *("send", "query-sms-balance", "--bulk", "-"),
        *("--format", "jsonl", "--results", str(where)),
        cwd=ROOT,
        env=shared_stand.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    rows = '{"appliance": "fac-1"}\n{"appliance": "fac-9"}\n'
    output, _ = await process.communicate(rows.encode())
    assert 1 == process.returncode, output
    first, second = sorted(map(json.loads, where.read_text().splitlines()), key=lambda x: x["row"])
    assert {"total_sms", "used_sms", "available_sms"} == set(first["result"])
    assert ("refused", "unknown-appliance") == (second["conclusion"], second["error"])


async def test_interrupted_or_unanswered_it_says_how_to_go_on(
    stand: Stand, broker: Rabbit, tmp_path: Path
) -> None:
    """Ctrl-C: exit code 130; nobody answers: 3. No more wait for an answer than is said."""
    appliances, service = await stand.appliances(), await stand.service()
    await service.end()
    numbers = range(5)
    path = filled(tmp_path / "g.csv", numbers)
    vhost = urlsplit(stand.url).path[1:]
    sending = await Process.start(
        *SMS, str(path), "--in-flight", "2", "--timeout", "30", env=stand.environment()
    )
    await until(lambda: broker.queues(vhost)["courier.activate-sms-license"].ready == 2)
    assert 130 == await sending.end(signal.SIGINT)
    assert "Run the same command again" in "\n".join(sending.lines)
    assert 2 == broker.queues(vhost)["courier.activate-sms-license"].ready

    command = (*SMS, str(path), "--timeout", "0.5", "--rate", "50")
    exit_code, output = await stand.courier(*command)
    assert (3, 10) == (exit_code, output.count("no answer yet") - 1), output
    assert [] == results(path)

    await stand.service()
    exit_code, output = await stand.courier(*command[:-4])
    assert 0 == exit_code, output
    assert [1] * 5 == await spent(appliances, numbers)
