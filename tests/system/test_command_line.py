"""The command `courier`, as a person uses it."""

import asyncio
import json
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.stand import Appliances, Process, Service, Stand
from tests.support.workflow import CONTRACTS, licence

ROOT: Final = Path(__file__).parents[2]

pytestmark = pytest.mark.asyncio(loop_scope="module")


def printed(output: str) -> dict[str, Any]:
    """The JSON of an output, after what was said on standard error."""
    document: dict[str, Any] = json.loads(output[output.index("{") :])
    return document


async def test_send_prints_the_result_and_says_by_exit_code_how_it_ended(
    shared_stand: Stand, service: Service, tmp_path: Path
) -> None:
    """0 succeeded, 1 refused or rejected; the output is the event as JSON."""
    file = tmp_path / "call-center.lic"
    file.write_bytes(b"licence")
    fac, fvc = ("--appliance", "fac-1"), ("--appliance", "fvc-1")
    for arguments, code, told in (
        (("query-sms-balance", *fac), 0, "succeeded"),
        (("activate-sms-license", *fac, "--license", licence(1), "--dry-run"), 0, "succeeded"),
        (("activate-sms-license", *fac, "--license", "0000-AAAA-BBBB-CCCC-DDDD"), 1, "refused"),
        (("apply-voice-license", *fvc, "--file", str(file)), 0, "succeeded"),
        (("query-devices", *fvc, "--search", "ff", "--limit", "5"), 0, "succeeded"),
        (("query-devices", "--appliance", "fvc-nowhere"), 1, "refused"),
        (("query-appliance-status", *fvc, "--resource", "FabricWidget"), 0, "succeeded"),
    ):
        exit_code, output = await shared_stand.courier("send", *arguments, "--wait")
        assert (code, told) == (exit_code, printed(output)["data"]["conclusion"]), output
    exit_code, output = await shared_stand.courier(
        "send", "activate-sms-license", *fac, "--license", "too-short", "--wait"
    )
    assert (1, "contract-violation") == (exit_code, printed(output)["data"]["reason"])
    assert service.process.returncode is None


async def test_send_prints_the_pages_of_a_stream_as_they_come(
    shared_stand: Stand, service: Service, appliances: Appliances
) -> None:
    """Each event is one line, the end is the last one; those of others are not shown."""
    await appliances.order("PATCH", "/switches/fvc-1", {"devices": 1203})
    stream = ("send", "query-devices", "-a", "fvc-1", "--stream", "--wait", "--id")
    both = [shared_stand.courier(*stream, f"stream-{number}") for number in range(2)]
    for number, (exit_code, output) in enumerate(await asyncio.gather(*both)):
        said, *lines = output.splitlines()
        events = [json.loads(line) for line in lines]
        assert (0, True) == (exit_code, said.endswith(f"stream-{number}"))
        assert {f"stream-{number}"} == {event["causationid"] for event in events}
        assert [1, 2, 3] == [event["data"]["sequence"] for event in events[:-1]]
        assert 1203 == events[-1]["data"]["stream"]["devices"]
    assert service.process.returncode is None


async def test_send_says_when_nobody_answers(shared_stand: Stand, service: Service) -> None:
    """Exit code 3: the command may be carried out all the same."""
    assert service.process.returncode is None
    exit_code, output = await shared_stand.courier(
        "send", "query-devices", "-a", "fvc-1", "--wait", "--timeout", "0.1", "--expires-in", "60"
    )
    assert (exit_code, "no answer" in output) in {(3, True), (0, False)}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("query-sms-balance",), "--appliance"),
        (("query-sms-balance", "-a", "fac-1", "--id", "two words"), "--id"),
        (("query-sms-balance", "-a", "fac-1", "--expires-in", "1e12"), "--expires-in"),
        (("query-devices", "-a", "fvc-1", "--limit", "5001"), "--limit"),
        (("apply-voice-license", "-a", "fvc-1", "--file", "nowhere.lic"), "--file"),
        (("apply-voice-license", "-a", "fvc-1", "--file", "big.lic"), "1 MiB"),
    ],
)
async def test_wrong_usage_is_exit_code_2(
    shared_stand: Stand, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    """What is wrong is named, and nothing is sent."""
    (tmp_path / "big.lic").write_bytes(bytes(1024 * 1024 + 1))
    given = [str(tmp_path / each) if each == "big.lic" else each for each in arguments]
    exit_code, output = await shared_stand.courier("send", *given)
    assert 2 == exit_code
    assert named in output


async def test_the_version_is_printed(shared_stand: Stand) -> None:
    """Name and version on one line, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    exit_code, output = await shared_stand.courier("--version")
    assert (0, f"courier {project['version']}") == (exit_code, output)


async def test_contracts_can_be_listed_shown_and_held_against_a_message(
    shared_stand: Stand, tmp_path: Path
) -> None:
    """Every example is valid and every counterexample is not, by the shipped files."""
    exit_code, output = await shared_stand.courier("contracts", "list")
    assert 0 == exit_code
    assert "courier.query-devices.finished.v1" in output
    exit_code, output = await shared_stand.courier("contracts", "show", "courier.query-devices.v1")
    schema = CONTRACTS / "commands/query-devices/v1.schema.json"
    assert (0, json.loads(schema.read_text())) == (exit_code, json.loads(output))
    for folder, expected in (("examples", 0), ("counterexamples", 1)):
        file = next((CONTRACTS / f"events/query-devices.finished/v1.{folder}").iterdir())
        assert expected == (await shared_stand.courier("contracts", "validate", str(file)))[0]
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert 1 == (await shared_stand.courier("contracts", "validate", str(broken)))[0]
    assert 2 == (await shared_stand.courier("contracts", "show", "courier.nothing.v1"))[0]


async def test_the_wheel_holds_what_the_service_needs(tmp_path: Path) -> None:
    """Installed elsewhere: the command works, and contracts and type marker are there."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "lib")]
    assert 0 == await _run(*pip, *options, str(ROOT))
    shell = f"import sys; sys.path.insert(0, {str(tmp_path / 'lib')!r})"
    program = f"{shell}; from service.cli import main; import service; print(service.__file__); "
    call = program + "main(['contracts', 'list'])"
    output = await _output(sys.executable, "-I", "-c", call, cwd=tmp_path)
    assert str(tmp_path) in output
    assert "courier.activate-sms-license.v1" in output
    assert (tmp_path / "lib" / "bin" / "courier").exists()
    assert (tmp_path / "lib" / "service" / "py.typed").exists()


async def _run(*command: str) -> int:
    return await (await asyncio.create_subprocess_exec(*command)).wait()


async def _output(*command: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    return (await process.communicate())[0].decode()


async def test_the_demonstration_shows_everything_and_ends_by_itself(amqp_url: str) -> None:
    """Twice in a row on a given broker: exit code 0, and nothing left but its durable names."""
    for _ in range(2):
        process = await Process.start("demo", env={"COURIER_BROKER_URL": amqp_url})
        assert 0 == await process.ended(), "\n".join(process.lines)
        text = "\n".join(process.lines)
        assert [] == [
            word
            for word in (
                "yes every command ended as it should",
                "yes one session per appliance",
                "intent-recorded",
                "query-sms-balance",
                "apply-voice-license",
            )
            if word not in text
        ]
