"""`deploy/RUNBOOK.md` as a test reads it and walks it: its sections, and their commands in a shell.

What differs from night to night are shell variables there; a walk sets them and runs the blocks of
a section in order. `rabbitmqctl` is the run's own broker's, wherever that is.
"""

import ast
import asyncio
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from service.demo.broker import BrokerUnavailable, Node
from tests.support import http
from tests.support.packages import brought
from tests.support.stand import ROOT, Process, Service, Stand

RUNBOOK: Final = ROOT / "deploy" / "RUNBOOK.md"
_HEADING: Final = re.compile(r"#{1,3} (.+)")
_EXCUSE: Final = re.compile(r"<!-- not executed: (.+) -->")
NOTHING: Final[Mapping[str, str]] = {}
_COMMAND: Final = re.compile(r"(?:[A-Z_]+=\S+ )?courier((?: [a-z]+(?:-[a-z]+)*)+)([^|;]*)")
_FENCE: Final = "```"

_COURIER: Final = """#!/bin/sh
exec '{python}' -m service "$@"
"""
_RABBITMQCTL: Final = """#!{python} -I
import json, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({path!r})
    asking.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    code, text = json.loads(asking.makefile().readline())
print(text)
sys.exit(code)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands.

    Attributes:
        line: where it stands.
        excuse: why no test can execute it; None if one must.
    """

    text: str
    line: int
    excuse: str | None


@dataclass
class Section:
    """What stands under a heading, up to the next one of any level."""

    title: str
    lines: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Its name in a link, as GitHub makes it."""
        return re.sub(r"[^a-z0-9 _-]", "", self.title.lower()).replace(" ", "-")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def sections(path: Path = RUNBOOK) -> dict[str, Section]:
    """Read all sections, by their anchors."""
    found: list[Section] = []
    excuse: str | None = None
    block: list[str] | None = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if block is not None:
            if line == _FENCE:
                found[-1].blocks.append(Block("\n".join(block), number - len(block), excuse))
                block = excuse = None
            else:
                block.append(line)
        elif line.startswith(_FENCE):
            assert line == f"{_FENCE}sh", f"line {number}: a block that is no ```sh"
            block = []
        elif heading := _HEADING.fullmatch(line):
            found.append(Section(heading[1]))
        elif excused := _EXCUSE.fullmatch(line):
            excuse = excused[1]
        else:
            assert excuse is None or not line, f"line {number}: an excuse for no block"
        found[-1].lines.append(line)
    by_anchor = {section.anchor: section for section in found}
    assert len(found) == len(by_anchor), "two sections have one anchor"
    return by_anchor


def commands() -> dict[str, set[str]]:
    """Every `courier` command that the runbook names in code, with the options that it gets."""
    text = RUNBOOK.read_text("utf-8").replace("\\\n", "")
    code = [
        line
        for each in sections().values()
        for block in each.blocks
        for line in block.text.replace("\\\n", "").splitlines()
    ]
    code += re.findall(r"`([^`\n]+)`", text)
    used: dict[str, set[str]] = {}
    for line in code:
        if found := _COMMAND.match(line):
            options = re.findall(r"(--[a-z-]+)", found[2])
            used.setdefault(found[1].strip(), set()).update(options)
    return used


def enumerated(name: str) -> list[str]:
    """The values of an enum of `service.errors`, from its source: this is seen from outside."""
    tree = ast.parse((ROOT / "service" / "errors.py").read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    values = [node.value for node in found.body if isinstance(node, ast.Assign)]
    return [str(value.value) for value in values if isinstance(value, ast.Constant)]


def settings() -> set[str]:
    """The variables that can be set, from the source."""
    tree = ast.parse((ROOT / "service" / "settings.py").read_text())
    (found,) = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"
    ]
    fields = [node.target for node in found.body if isinstance(node, ast.AnnAssign)]
    return {f"COURIER_{each.id.upper()}" for each in fields if isinstance(each, ast.Name)}


def readiness_reasons() -> set[str]:
    """Every word that an `idle_reason` of the service can return, from the sources."""
    named: dict[str, str] = {}
    returned: set[str] = set()
    for path in sorted((ROOT / "service").rglob("*.py")):
        tree = ast.parse(path.read_text())
        named |= dict(_constants(tree.body))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "idle_reason":
                returned |= set(_returned(node))
    return {named.get(word, word) for word in returned}


def _constants(body: Iterable[ast.stmt]) -> Iterable[tuple[str, str]]:
    """The texts that a module gives names to."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    yield target.id, node.value.value


def _returned(function: ast.FunctionDef) -> Iterable[str]:
    """The texts, or their names, that a function returns; not those that it only tests."""
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            value = node.value
            for part in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
                if isinstance(part, ast.Name):
                    yield part.id
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


async def helps(*commands: str) -> dict[str, str]:
    """What `courier ... --help` says of commands, asked in one process: each start takes long."""
    program = (
        "import sys\nfrom service.cli import main\n"
        "for command in sys.argv[1:]:\n"
        "    print(f'@@{command}', flush=True)\n"
        "    try:\n"
        "        main([*command.split(), '--help'])\n"
        "    except SystemExit as end:\n"
        "        print(f'@={end.code}', flush=True)\n"
    )
    wide = {"COLUMNS": "200", "TERM": "dumb"}
    asked = await Process.start("-c", program, *commands, env=wide, program=(sys.executable,))
    Process.strays.remove(asked)  # the help shows how a licence is written
    assert 0 == await asked.ended(), "\n".join(asked.lines)
    parts = "\n".join(asked.lines).split("@@")[1:]
    said = dict(part.split("\n", 1) for part in parts)
    return {command: text for command, text in said.items() if "@=0" in text}


@dataclass
class Desk:
    """Where somebody sits who knows only the runbook.

    Attributes:
        settings: the running service's, beside the stand's defaults.
        service: the one that runs, or that ran last.
        programs: a folder with `courier` and `rabbitmqctl`.
    """

    stand: Stand
    settings: dict[str, str]
    programs: Path
    service: Service | None = None

    async def running(self, **settings: str) -> Service:
        """The service, started if it does not run, or not with these settings."""
        wanted = self.settings | settings
        if self.service is None or self.service.process.returncode is not None or settings:
            if self.service is not None:
                await self.service.end()
            self.service = await self.stand.service(ready=True, **wanted)
        return self.service

    def reasons(self) -> list[str]:
        """Why the service is not ready; none when it is."""
        url = f"http://127.0.0.1:{self.settings['HTTP_PORT']}/health/ready"
        return list(http.get(url).json()["reasons"])

    @property
    def variables(self) -> dict[str, str]:
        """What the runbook says one has before one begins."""
        directory = self.stand.directory
        (directory / "settings.env").write_text(
            "\n".join(f"{k}='{v}'" for k, v in self.stand.environment(**self.settings).items())
        )
        assert self.service is not None
        (directory / "event.log").write_text("".join(f"{e}\n" for e in self.service.written))
        return {
            "SETTINGS": str(directory / "settings.env"),
            "EVENT_LOG": str(directory / "event.log"),
            "HTTP": f"http://127.0.0.1:{self.settings['HTTP_PORT']}",
            "PID": str(self.service.process.pid),
            "LEDGER_FILE": str(directory / "courier.db"),
            "VHOST": self.stand.url.rsplit("/", 1)[1],
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "COLUMNS": "200",
        }

    @asynccontextmanager
    async def walk(self, anchor: str) -> AsyncIterator["Walk"]:
        """Walk through a section; all of its blocks must be run when the body ends."""
        walk = Walk(self, [each for each in sections()[anchor].blocks if each.excuse is None])
        yield walk
        assert [] == walk.left, f"{anchor}: not run"


@dataclass
class Walk:
    """The blocks of a section that were not run yet."""

    desk: Desk
    left: list[Block]

    async def run(self, variables: Mapping[str, str] = NOTHING, *, code: int = 0) -> str:
        """Run the next block as the runbook's reader would.

        Args:
            variables: those that differ from night to night.
            code: the exit code that the reader gets to see.
        """
        block, stand = self.left.pop(0), self.desk.stand
        env = stand.environment(**self.desk.settings) | self.desk.variables | dict(variables)
        shell = await Process.start("-euc", block.text, env=env, program=("bash",))
        stand.processes.append(shell)
        Process.strays.remove(shell)
        ended = await shell.ended()
        said = "\n".join(shell.lines)
        assert code == ended, f"RUNBOOK.md, line {block.line}:\n{block.text}\n\n{said}"
        return said


@asynccontextmanager
async def seated(stand: Stand, node: Node, *, port: int) -> AsyncIterator[Desk]:
    """Sit down where the service runs.

    Args:
        stand: where its appliances are.
        node: its broker.
        port: where it connects to the broker.
    """
    for program, package in (("curl", "curl"), ("sqlite3", "sqlite3")):
        brought(program, package)
    parts = urlsplit(stand.url)
    url = f"amqp://{parts.username}:{parts.password}@127.0.0.1:{port}{parts.path}"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        http_port = str(listening.getsockname()[1])
    async with _programs(node) as path:
        desk = Desk(stand, {"BROKER_URL": url, "HTTP_PORT": http_port}, path)
        await desk.running()
        yield desk


@asynccontextmanager
async def _programs(node: Node) -> AsyncIterator[Path]:
    """Give a folder with `courier`, and with a `rabbitmqctl` that speaks to this node."""
    with tempfile.TemporaryDirectory(prefix="courier-runbook-") as name:
        path = Path(name)
        _write(path / "courier", _COURIER.format(python=sys.executable))
        asked = str(path / "asked")
        _write(path / "rabbitmqctl", _RABBITMQCTL.format(python=sys.executable, path=asked))

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arguments = json.loads(await reader.readline())
            try:
                told = (0, await asyncio.to_thread(node.ctl, *arguments))
            except BrokerUnavailable as error:
                told = (1, str(error))
            writer.write(json.dumps(told).encode() + b"\n")
            writer.close()

        async with await asyncio.start_unix_server(answer, asked):
            yield path


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o700)
