"""No secret is told to anybody: not by the log at DEBUG, events, pages or programs.

Every stand looks through all of that at its end (`tests/support/stand.py`). Here it is shown that
it would find something, and the service is given what could make it talk.
"""

import asyncio
import base64
import re
import sys
from pathlib import Path

import aio_pika
import pytest

from tests.support.stand import Json, Stand, standing
from tests.support.wait import until
from tests.support.workflow import command, gather_answers, licence, working

LICENCE = licence(1)
FILE = {"name": "a.lic", "content": base64.b64encode(b"\x00 a file of licences \xff").decode()}
KEY = "simulated/fac-1.password"
WORDS = ('"fac-1"', "control  ", '"status":"', '"http": ')
"""They stand in everything that is told, some here and some there."""
PLACES = (
    *("courier serve, service-ready", "courier serve, appliance-request", "courier send, a line"),
    *("courier check, a line", "courier simulate, a line", "/health/live", "/health/ready"),
    *("/metrics", "a reply", "the event courier.query-sms-balance.finished.v1.succeeded.fac-1"),
)


async def planted(url: str, directory: Path) -> None:
    """Tell two secrets as the ids of commands, and call secret what is told everywhere."""
    async with standing(url, directory) as stand:
        await stand.appliances()
        await stand.service()
        async with working(url) as workflow:
            for given in ((directory / KEY).read_text(), LICENCE):
                sent = command("query-sms-balance", {"appliance": "fac-1"}, id=given)
                await workflow.send(sent, reply_to=await workflow.reply_to())
                await workflow.answer(given)
            await until(lambda: len(workflow.replies) == 2)
        await stand.courier("send", "query-sms-balance", "-a", "fac-1", "--wait")
        await stand.courier("check", "--json")
        for word in WORDS:
            stand.canaries.add("a word", word)


async def test_a_secret_is_found_wherever_it_is_told(amqp_url: str, tmp_path: Path) -> None:
    """Each thing that is looked through fails the stand; the message does not tell it again."""
    with pytest.raises(AssertionError) as failed:
        await planted(amqp_url, tmp_path)
    told = str(failed.value)
    assert [] == [place for place in PLACES if f"{place} tells a word" not in told]
    assert "courier serve, command-received tells a secret of fac-1" in told
    assert f"{PLACES[-1]} tells a secret of fac-1" in told
    assert f"{PLACES[-1]} tells a whole licence" in told
    assert "command-received tells a whole licence" not in told, "the log redacts it"
    assert (tmp_path / KEY).read_text()[:5] not in told


SAID = f'{{"password": "hunter2", "token": "", "license": ["{LICENCE}"], "errorMsg": "hunter2"}}'
"""What an appliance says that is asked anything: secrets, and nothing of what it should say."""
STATUSES = (200, 302, 400, 401, 403, 404, 500, 503)
STEPS = ("devices", "token", "upload", "apply")
SMS = [(operation, status) for operation in ("*", "activate") for status in STATUSES]
VOICE = [("*", status) for status in STATUSES]
VOICE += [(operation, status) for operation in STEPS for status in (200, 400, 500)]


async def test_what_an_appliance_says_is_told_to_nobody(stand: Stand) -> None:
    """Whatever the status and whichever step it answers: bodies and headers stay here."""
    appliances = await stand.appliances(
        *("--fortiauthenticators", str(len(SMS)), "--fortivoices", str(len(VOICE)))
    )
    said: Json = {"action": "answer", "body": SAID, "headers": {"X-Secret": "hunter2"}}
    said["headers"] |= {"Location": "https://u:hunter2@h/", "Set-Cookie": "APSCOOKIE_1=hunter2"}
    talking = {f"fac-{number}": each for number, each in enumerate(SMS, 1)}
    talking |= {f"fvc-{number}": each for number, each in enumerate(VOICE, 1)}
    for name, (operation, status) in talking.items():
        await appliances.fault(name, operation=operation, status=status, **said)

    service = await stand.service(COMMAND_TTL="1.5")
    sent = [
        command(name, {"appliance": appliance, **data})
        for appliance in talking
        for name, data in (SMS_WISHES if appliance.startswith("fac") else VOICE_WISHES)
    ]
    async with working(stand.url) as workflow:
        await workflow.send(*sent)
        answers = await gather_answers(workflow, [each["id"] for each in sent])
    conclusions = {answer.data["conclusion"] for answer in answers}
    assert {"succeeded", "refused", "failed", "unknown"} == conclusions
    assert [] == service.events("internal-error")


SMS_WISHES: list[tuple[str, Json]] = [
    ("query-sms-balance", {}),
    ("activate-sms-license", {"license": LICENCE}),
]
VOICE_WISHES: list[tuple[str, Json]] = [
    ("query-devices", {}),
    ("apply-voice-license", {"file": FILE}),
]


async def test_a_command_that_nobody_takes_is_not_shown_to_the_one_who_sent_it(
    stand: Stand,
) -> None:
    """The broker gives it back, licence and all; the error names the reason alone."""
    async with await aio_pika.connect(stand.url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("courier.commands", "topic", durable=True)
    exit_code, output = await stand.courier(
        "send", "activate-sms-license", "-a", "fac-1", "--license", LICENCE
    )
    assert 1 == exit_code
    assert "the broker did not take the command" in output


async def test_an_error_that_nobody_expected_shows_no_local_variable() -> None:
    """Python's traceback, not the one of the command line's library, which could show them."""
    program = (
        "import asyncio, sys\n"
        "from service.cli import main\n"
        "async def run(): main(sys.argv[1:])\n"
        "asyncio.run(run())\n"
    )
    arguments = ("send", "activate-sms-license", "-a", "fac-1", "--license", LICENCE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments), stderr=asyncio.subprocess.PIPE
    )
    _, written = await process.communicate()
    output = written.decode()
    assert 1 == process.returncode
    assert "RuntimeError: asyncio.run() cannot be called" in output
    assert not re.search(LICENCE[:9], output)
