"""A private RabbitMQ node as plain processes: nothing of the machine's own RabbitMQ is touched.

It has its own ports, on the loopback address only, its own data, cookie and password, all in one
temporary directory, and is gone without a trace when it is closed. `kill` and `freeze` break it on
purpose, for whoever wants to see what a client makes of that; `start` brings it back with the
same ports and data.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from service.demo.probe import BrokerUnavailable, free_ports, wait_until_ready

# As `rabbitmq-server` is found without asking PATH: Debian keeps it out of an ordinary user's, and
# the command there switches to the user `rabbitmq` and to the system's own data.
_SERVER_FOLDERS: Final = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/usr/local/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/rabbitmq/sbin",
    "/opt/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)
# Erlang's arguments for a guest on somebody's machine: one scheduler that does not spin while it
# waits. The rest lets whoever looks at counts see them within a second instead of five.
ERLANG_ARGUMENTS: Final = (
    "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none "
    "-rabbit collect_statistics_interval 250 -rabbit quorum_tick_interval 250 "
    "-rabbitmq_management_agent sample_retention_policies "
    "[{global,[{60,1}]},{basic,[{60,1}]},{detailed,[{10,1}]}]"
)
_LOOPBACK: Final = "127.0.0.1"
# Erlang's own traffic, between the node and `rabbitmqctl`, listens everywhere unless told.
_DISTRIBUTION: Final = "-kernel inet_dist_use_interface {127,0,0,1}"
_USER: Final = "courier"
_PATIENCE: Final = 60.0
_CONTROL_PATIENCE: Final = 30.0


# RabbitMQ writes the registration of a new quorum queue to disk up to three seconds late (in a
# dets table). Killed before that, 3.10.8 starts the queue anew: empty, and without a leader for
# ever (rabbitmq/rabbitmq-server, issue 10070; measured: broken when killed at once, not after 2 s).
SETTLE: Final = ("eval", "[dets:sync(Table) || Table <- dets:all()].")


class Node(Protocol):
    """A broker that we started ourselves, and may therefore break."""

    def start(self) -> None:
        """See that it runs, again on the same data and ports, and takes connections."""

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL); first `settle` what was just declared."""

    def settle(self) -> None:
        """Have it write down which queues it has; without that, a kill breaks the newest ones."""

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stay open and nothing answers (SIGSTOP)."""

    def thaw(self) -> None:
        """Let it go on, if it was frozen."""

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against it and return what that printed; takes half a second."""


def installed_server() -> Path | None:
    """The folder with the scripts of the newest RabbitMQ that is installed here, if any is."""
    found = [
        folder
        for pattern in _SERVER_FOLDERS
        for folder in Path("/").glob(pattern.removeprefix("/"))
        # Only the genuine script has this beside it; a distribution's wrapper has not.
        if (folder / "rabbitmq-server").exists() and (folder / "rabbitmq-env").exists()
    ]
    return max(found, key=_version, default=None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.parent.name))


class PrivateNode:
    """One RabbitMQ node of this process's own.

    Every method blocks (`start` for some seconds); call them in a thread from a coroutine. The
    node does not see the terminal's Ctrl-C, so it lives until `close`, which may be called at any
    time and from any thread, also in the middle of `start`.

    Args:
        server: the folder with RabbitMQ's scripts, see `installed_server`.
        patience: how long a start may take, in seconds.
        configuration: texts of configuration files; where it listens is not taken from them.
        plugins: which are switched on; without the first one there is no `api`.
    """

    def __init__(
        self,
        server: Path,
        *,
        patience: float = _PATIENCE,
        configuration: Sequence[str] = (),
        plugins: Sequence[str] = ("rabbitmq_management",),
    ) -> None:
        self._server = server
        self._configuration = configuration
        self._plugins = plugins
        self._patience = patience
        self._password = secrets.token_hex(16)
        self._port, self._api_port, self._dist_port, self._epmd_port = free_ports(4)
        self._home = Path(tempfile.mkdtemp(prefix="courier-rabbitmq-"))
        self._lock = threading.Lock()
        self._closed = False
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where AMQP is spoken, with the credentials of an administrator."""
        return f"amqp://{_USER}:{self._password}@{_LOOPBACK}:{self._port}/"

    @property
    def api(self) -> str:
        """Where the management plugin's HTTP API is, with the same credentials."""
        return f"http://{_USER}:{self._password}@{_LOOPBACK}:{self._api_port}/api"

    def start(self) -> None:
        """See that the node runs, again on the same data and ports, and wait until it is ready.

        Raises:
            BrokerUnavailable: it ended by itself or took too long; its last log lines are told.
        """
        with self._lock:
            if self._closed:
                raise BrokerUnavailable("the private RabbitMQ node was closed")
            if self._ended():
                self._spawn_all()
        wait_until_ready(self.url, patience=self._patience, ended=self._ended, log=self._last_lines)

    def kill(self) -> None:
        """End the node at once, as a power cut would; `start` brings it back."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def settle(self) -> None:
        """Have the node write down which queues it has, so that the newest outlive a kill."""
        self.ctl(*SETTLE)

    def freeze(self) -> None:
        """Stop the node in its tracks: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the node go on, if it was frozen."""
        self._signal(signal.SIGCONT)

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against the node and return what it printed; takes half a second.

        Raises:
            BrokerUnavailable: it failed, or did not end within half a minute.
        """
        command = [str(self._server / "rabbitmqctl"), "--quiet", *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - our own arguments, no shell
                command,
                env=self._environment(),
                capture_output=True,
                text=True,
                timeout=_CONTROL_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise BrokerUnavailable(f"rabbitmqctl {arguments[0]} did not end") from late
        if done.returncode:
            raise BrokerUnavailable(f"rabbitmqctl {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def close(self) -> None:
        """End the node and everything that came with it, and remove its files."""
        with self._lock:
            self._closed = True
            self.kill()
            if self._mapper is not None:
                self._mapper.kill()
                self._mapper.wait()
            shutil.rmtree(self._home, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the node and its helpers, by their group, which is ours alone."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _spawn(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self._home / log).open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                command,
                env=self._environment(),
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _spawn_all(self) -> None:
        self._settle()
        # RabbitMQ would start Erlang's port mapper as a daemon that outlives everything.
        if self._mapper is None:
            mapper = [_mapper_command(), "-port", str(self._epmd_port), "-address", _LOOPBACK]
            self._mapper = self._spawn(mapper, "epmd.log")
        self._process = self._spawn([str(self._server / "rabbitmq-server")], "console.log")

    def _settle(self) -> None:
        """Write what the node is told by files; a second time changes nothing."""
        cookie = self._home / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(16), encoding="ascii")
            cookie.chmod(0o400)
        (self._home / "advanced.config").write_text("[].\n", encoding="ascii")
        own = (
            f"listeners.tcp.default = {_LOOPBACK}:{self._port}\n"
            f"default_user = {_USER}\n"
            f"default_pass = {self._password}\n"
            f"management.tcp.ip = {_LOOPBACK}\n"
            f"management.tcp.port = {self._api_port}\n"
            "log.console = false\n"
        )
        folder = self._home / "conf.d"
        folder.mkdir(exist_ok=True)
        # The last one wins.
        for number, text in enumerate([*self._configuration, own], start=10):
            (folder / f"{number}.conf").write_text(text, encoding="ascii")

    def _environment(self) -> dict[str, str]:
        """Everything that the scripts look at, so that no setting of the system's node is read."""
        home = str(self._home)
        return {
            "PATH": os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": home,
            "ERL_EPMD_ADDRESS": _LOOPBACK,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"courier-{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": _LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{home}/none.conf",
            "RABBITMQ_CONFIG_FILES": f"{home}/conf.d/*.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            # Costs nothing measurable at the start, and is much faster than `rabbitmqctl`.
            "RABBITMQ_ENABLED_PLUGINS": ",".join(self._plugins),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ERLANG_ARGUMENTS} {_DISTRIBUTION}",
            "RABBITMQ_CTL_ERL_ARGS": _DISTRIBUTION,
            # Makes the script become the node instead of guarding it, so that signals hit the node.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _last_lines(self) -> str:
        logs = sorted(self._home.glob("log/*@localhost.log")) or [self._home / "console.log"]
        try:
            return "\n".join(logs[-1].read_text(errors="replace").splitlines()[-15:])
        except OSError:
            return ""


def _mapper_command() -> str:
    """Erlang's port mapper, which is beside `erl` where it is not in PATH."""
    erlang = shutil.which("erl")
    beside = str(Path(erlang).resolve().parent) if erlang else ""
    command = shutil.which("epmd") or shutil.which("epmd", path=beside)
    if command is None:
        raise BrokerUnavailable("RabbitMQ is installed, but Erlang's `epmd` is nowhere in PATH")
    return command
