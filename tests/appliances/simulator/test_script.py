from __future__ import annotations

import asyncio
import socket
import tomllib
from typing import TYPE_CHECKING

import httpx
import pytest

from service.simulator import FieldError, Simulator
from service.simulator.script import _text
from tests.support.stand import Process
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Written = Callable[[str], Path]

pytestmark = pytest.mark.usefixtures("socket_enabled")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        path = tmp_path / "script.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(inventory: Path) -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = tomllib.loads(inventory.read_text())["appliances"]
    return tables


async def played(simulator: Simulator) -> list[str]:
    """Play the script to its end; return what it told."""
    lines: list[str] = []
    await simulator.script.play(lines.append, asyncio.Event())
    return lines


async def test_the_world_of_second_0_is_made_before_anything_listens(
    written: Written, tmp_path: Path
) -> None:
    """Password files hold scripted passwords; what is off has a port and refuses connections."""
    script = written("""
        [[step]]
        password = "scripted"
        [[step]]
        appliance = "fac-1"
        switches = { total_sms = 5, lockout_after = 3 }
        certificate = "expired"
        [[step]]
        at = 0.0
        appliance = "fac-1"
        switches = { lockout_after = "null" }
        [[step]]
        appliance = "fvc-1"
        faults = [{ operation = "login", action = "hang" }]
        do = "stop"
    """)
    async with Simulator(script=script) as simulator:
        inventory = read(simulator.write_files(tmp_path))
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:  # noqa: S501  # any
            with pytest.raises(httpx.ConnectError, match="All connection attempts failed"):
                await http.get(inventory["fvc-1"]["url"])
            assert 404 == (await http.get(inventory["fac-1"]["url"])).status_code
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:  # noqa: S501  # any
            await simulator.fortivoice().start()
            assert 404 == (await http.get(inventory["fvc-1"]["url"])).status_code
        assert [] == await played(simulator)

    fac = simulator.fortiauthenticator()
    assert {"scripted"} == {(tmp_path / f"{name}.password").read_text() for name in inventory}
    assert (5, None) == (fac.total_sms, fac.lockout_after)
    assert ["hang"] == [rule.action.name for rule in simulator.fortivoice().faults.rules]


async def test_later_steps_happen_in_order_of_their_time_and_tell_so(written: Written) -> None:
    """Each step is one line, whatever it does and to how many; equal times keep their order."""
    script = written("""
        [[step]]
        at = 0.3
        appliance = "fvc-1"
        do = "expire-sessions"
        password = "second"
        [[step]]
        at = 0.1
        switches = { latency = 0.5 }
        faults = [{ action = "hang" }]
        [[step]]
        at = 0.3
        appliance = "fac-1"
        do = "stop"
        [[step]]
        at = 0.2
        faults = []
        certificate = "self-signed"
    """)
    async with Simulator(script=script) as simulator:
        before = simulator.fortivoice().password
        began = asyncio.get_running_loop().time()
        told = await played(simulator)
        took = asyncio.get_running_loop().time() - began

    assert [
        "00:00.1 * switches faults",
        "00:00.2 * faults certificate",
        "00:00.3 fvc-1 password expire-sessions",
        "00:00.3 fac-1 stop",
    ] == told
    assert took >= 0.3
    assert [before, "second"] == simulator.fortivoice().secrets
    assert [0.5, 0.5] == [each.latency for each in simulator.appliances.values()]
    assert [(), ()] == [each.faults.rules for each in simulator.appliances.values()]
    assert not simulator.fortiauthenticator().on


@pytest.mark.parametrize(
    ("at", "told"), [(5, "00:05.0"), (59.96, "01:00.0"), (754.32, "12:34.3"), (86_400, "1440:00.0")]
)
def test_the_time_is_told_in_minutes_and_seconds(at: float, told: str) -> None:
    """Tenths are enough."""
    assert f"{told} * stop" == _text(at, "*", {"do": "stop"})


async def test_what_is_to_happen_after_the_end_does_not(written: Written) -> None:
    """The end of the run is the end of its script."""
    script = written('[[step]]\nat = 80000\nappliance = "fvc-1"\ndo = "stop"')
    ended = asyncio.Event()
    lines: list[str] = []
    async with Simulator(script=script) as simulator, asyncio.timeout(5):
        playing = asyncio.create_task(simulator.script.play(lines.append, ended))
        ended.set()
        await playing
        assert simulator.fortivoice().on

    assert [] == lines


async def test_a_start_that_fails_ends_the_script(written: Written) -> None:
    """A scenario that cannot go on does not pretend to."""
    script = written("""
        [[step]]
        appliance = "fac-1"
        do = "stop"
        [[step]]
        at = 0.01
        appliance = "fac-1"
        do = "start"
    """)
    async with Simulator(script=script) as simulator:
        port = httpx.URL(simulator.fortiauthenticator().url).port
        assert port is not None
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(OSError, match="address already in use"),
        ):
            await played(simulator)


MISTAKES = [
    ('at = "soon"\ndo = "stop"', "at: must be a number"),
    ('at = -1\ndo = "stop"', "at: must be a number"),
    ('at = nan\ndo = "stop"', "at: must be a number"),
    ('appliance = "fac-9"\ndo = "stop"', "appliance: must be one of *, fac-1, fvc-1"),
    ('appliance = ["fac-1"]\ndo = "stop"', "appliance: must be one of"),
    ('appliances = "fac-1"\ndo = "stop"', "appliances: is no field of a step"),
    ("at = 5", "must have at least one of switches, faults, password, certificate, do"),
    ("switches = 5", "switches: must be an object"),
    ("switches = { devices = 3 }", "switches.devices: is no switch of fac-1, a fortiauth"),
    ("switches = { amount = 3 }", "switches.amount: is no switch of fvc-1, a fortivoice"),
    ("switches = { latency = -1 }", "switches.latency: must be a number from 0 to 86400"),
    ('faults = { action = "hang" }', "faults: must be a list of rules"),
    ("faults = [5]", "faults.0.rule: must be an object"),
    ('faults = [{ action = "hang" }, { action = "x" }]', "faults.1.action: must be one of"),
    ('faults = [{ operation = "login", action = "hang" }]', "faults.0.operation: 'login' is no"),
    ('password = ""', "password: must be a string"),
    ('certificate = "old"', "certificate: must be one of valid, self-signed, expired, wrong-n"),
    ('do = "restart"', "do: must be one of stop, start for fac-1, a fortiauthenticator"),
    ('do = "expire-sessions"', "do: must be one of stop, start for fac-1, a fortiauthenticator"),
    ('do = ["stop"]', "do: must be one of stop, start"),
]


@pytest.mark.parametrize(("step", "mistake"), MISTAKES)
def test_a_mistake_is_told_with_file_step_and_field(
    written: Written, step: str, mistake: str
) -> None:
    """A script is checked as a whole, for each of its appliances, before anything happens."""
    path = written(f'[[step]]\npassword = "never set"\n[[step]]\n{step}\n[[step]]\nat = "wrong"')

    with pytest.raises(FieldError) as caught:
        Simulator(script=path)

    assert str(caught.value).startswith(f"{path}, step 2: {mistake}")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[[step]", "Expected"),
        ("", "must be a list of [[step]] tables and nothing else"),
        ("[step]", "must be a list of [[step]] tables and nothing else"),
        ('[[step]]\ndo = "stop"\n[other]', "must be a list of [[step]] tables and nothing else"),
        ("step = [5]", "must be a table"),
    ],
)
def test_what_is_no_script_is_told_with_its_file(written: Written, text: str, mistake: str) -> None:
    """The file is named, whatever is in it."""
    path = written(text)

    with pytest.raises(FieldError) as caught:
        Simulator(script=path)

    assert str(caught.value).startswith(str(path))
    assert mistake in str(caught.value)


async def test_the_command_line_plays_a_script(written: Written, tmp_path: Path) -> None:
    """The usual lines come first, then one per step; the files hold what second 0 made."""
    script = written("""
        [[step]]
        password = "scripted"
        [[step]]
        at = 0.2
        appliance = "fvc-1"
        do = "stop"
    """)
    directory = tmp_path / "simulated"
    process = await Process.start(
        *("simulate", "--directory", str(directory), "--script", str(script)), env={}
    )
    try:
        await until(lambda: len(process.lines) >= 5 or process.process.returncode is not None)
    finally:
        code = await process.end()

    assert 0 == code, "\n".join(process.lines)
    words = [line.split() for line in process.lines]
    assert ["inventory", "control", "fac-1", "fvc-1", "00:00.2"] == [each[0] for each in words]
    assert "00:00.2 fvc-1 stop" == process.lines[-1]
    assert "scripted" == (directory / "fac-1.password").read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[step]]\ndo = "reboot"', "courier: cannot simulate: {path}, step 1: do: must be one of"),
        (None, "courier: cannot simulate: [Errno 2] No such file or directory: '{path}'"),
    ],
)
async def test_the_command_line_refuses_a_wrong_script_with_exit_code_1(
    written: Written, tmp_path: Path, text: str | None, told: str
) -> None:
    """Nothing is started and nothing is written."""
    path = tmp_path / "nowhere.toml" if text is None else written(text)
    directory = tmp_path / "simulated"
    process = await Process.start(
        *("simulate", "--directory", str(directory), "--script", str(path)), env={}
    )

    assert 1 == await process.ended()
    assert process.lines[-1].startswith(told.format(path=path))
    assert not directory.exists()
