"""What `courier check` finds in settings and ledger, and how it counts clocks."""

import os
import stat
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from service.appliances.answers import clock_skew
from service.checks import Finding, State, document, ledger, worst
from service.checks import settings as configured
from service.ledger.sqlite import SqliteLedger
from service.settings import Settings, Source
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND, told, written
from tests.unit.old_ledgers import OLD, old_file

BROKER = "rabbit@here/"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An empty folder and no variable that matters, whatever the developer has set."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("COURIER_", "OTEL_")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "courier.db"


def settings_found() -> dict[str, Finding]:
    return {each.what: each for each in configured.look()[1]}


def ledger_found(path: Path, broker: str | None = BROKER) -> dict[str, Finding]:
    settings = Settings.load(ledger_url=f"sqlite:///{path}")
    return {each.what: each for each in ledger.look(settings, broker)}


def test_each_setting_has_its_value_and_who_said_so(environment: pytest.MonkeyPatch) -> None:
    """The environment wins over .env, in whatever case it is written; the rest are defaults."""
    Path(".env").write_text("COURIER_PREFETCH=1\nCOURIER_HTTP_PORT=1\n", "utf-8")
    environment.setenv("courier_prefetch", "2")
    found = settings_found()
    facts = {name: found[f"COURIER_{name}"].facts for name in ("PREFETCH", "HTTP_PORT", "SOURCE")}
    assert {
        "PREFETCH": {"value": "2", "source": "environment"},
        "HTTP_PORT": {"value": "1", "source": ".env"},
        "SOURCE": {"value": "/courier", "source": "default"},
    } == facts
    named = {f"COURIER_{name.upper()}" for name in Settings.model_fields}
    assert named | {"traces"} == set(found)
    assert Source.ENVIRONMENT in found["COURIER_PREFETCH"].detail


def test_a_mistyped_variable_is_told_with_the_setting_that_was_meant(
    environment: pytest.MonkeyPatch,
) -> None:
    """Its name, never its value; a variable that holds an appliance's password is no mistake."""
    Path("appliances.toml").write_text(
        '[appliances.a]\nkind = "fortivoice"\npassword_env = "COURIER_KEY_OF_A"\n', "utf-8"
    )
    environment.setenv("COURIER_PREFECH", "canary")
    environment.setenv("COURIER_KEY_OF_A", "canary")
    Path(".env").write_text("COURIER_QUITE_ELSE=canary\n", "utf-8")
    warned = {what: each for what, each in settings_found().items() if each.state != State.OK}
    assert {"COURIER_PREFECH", "COURIER_QUITE_ELSE"} == set(warned)
    assert {"source": "environment", "nearest": "COURIER_PREFETCH"} == (
        warned["COURIER_PREFECH"].facts
    )
    assert {"source": ".env", "nearest": None} == warned["COURIER_QUITE_ELSE"].facts
    assert {State.WARNING} == {each.state for each in warned.values()}
    assert "did you mean COURIER_PREFETCH?" in warned["COURIER_PREFECH"].detail
    assert "canary" not in str(warned)


def test_what_is_mistyped_is_told_beside_what_cannot_be_used(
    environment: pytest.MonkeyPatch,
) -> None:
    """One finding per mistake: the typo may be why the other one is wrong."""
    environment.setenv("COURIER_PREFETCH", "canary")
    environment.setenv("COURIER_PREFECH", "7")
    settings, found = configured.look()
    assert settings is None
    assert {"COURIER_PREFETCH": State.FAILED, "COURIER_PREFECH": State.WARNING} == {
        each.what: each.state for each in found
    }
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        (
            "BROKER_URL",
            "amqps://u:canary@a:1/v?heartbeat=5&x=canary, amqp://canary@[::1]/",
            "amqps://a:1/v,amqp://[::1]/",
        ),
        ("LEDGER_URL", "postgresql://u:canary@db/x?password=canary", "postgresql://db/x"),
        ("LEDGER_URL", "postgresql://u:canary@db:p/x", "***"),
        ("LEDGER_URL", "sqlite:////var/courier.db", "sqlite:////var/courier.db"),
        ("RETRY_DELAYS", "1, 2", "1,2"),
        ("LEDGER_RETENTION", "34560000", "34560000"),
    ],
)
def test_a_value_is_shown_without_what_is_secret_in_it(
    variable: str, value: str, shown: str, environment: pytest.MonkeyPatch
) -> None:
    """Addresses lose credentials and options; what cannot be read is not shown at all."""
    environment.setenv(f"COURIER_{variable}", value)
    found = settings_found()
    assert shown == found[f"COURIER_{variable}"].facts["value"]
    assert "canary" not in str(found)


def test_of_a_password_file_only_is_told_whether_it_can_be_read(
    environment: pytest.MonkeyPatch,
) -> None:
    """Its name is shown, its content is not; one that is not there has failed."""
    Path("password").write_text("canary", "utf-8")
    environment.setenv("COURIER_BROKER_PASSWORD_FILE", "password")
    found = settings_found()
    assert State.OK == found["COURIER_BROKER_PASSWORD_FILE"].state
    assert "password (environment), can be read" == found["COURIER_BROKER_PASSWORD_FILE"].detail
    assert "canary" not in str(found)
    Path("password").unlink()
    missing = settings_found()["COURIER_BROKER_PASSWORD_FILE"]
    assert (State.FAILED, True) == (missing.state, "No such file" in missing.detail)


@pytest.mark.parametrize(
    ("variables", "facts"),
    [
        ({}, {"on": False, "by": []}),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:canary@x", "OTEL_EXPORTER_OTLP_HEADERS": "c"},
            {"on": True, "by": ["OTEL_EXPORTER_OTLP_ENDPOINT"]},
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
            {"on": False, "by": ["OTEL_SDK_DISABLED"]},
        ),
    ],
)
def test_of_traces_only_is_told_what_switches_them(
    variables: dict[str, str], facts: dict[str, object], environment: pytest.MonkeyPatch
) -> None:
    """Variables are named, and neither their values nor any header is shown."""
    for name, value in variables.items():
        environment.setenv(name, value)
    found = settings_found()
    assert facts == found["traces"].facts
    assert "canary" not in str(found)
    assert "HEADERS" not in str(found)


def test_a_ledger_that_is_not_there_will_be_made(path: Path) -> None:
    """Nothing is made by looking."""
    found = ledger_found(path)
    assert ["file", "space"] == list(found)
    assert State.OK == worst([found["file"]])
    assert "will be made" in found["file"].detail
    assert [] == list(path.parent.iterdir())


@pytest.mark.parametrize("version", OLD)
def test_an_old_ledger_is_told_and_left_alone(version: int, path: Path) -> None:
    """The next start upgrades it; whoever only looks does not."""
    old_file(path, version)
    before = path.read_bytes()
    schema = ledger_found(path)["schema"]
    assert (State.WARNING, version) == (schema.state, schema.facts["version"])
    assert "will be upgraded to" in schema.detail
    assert before == path.read_bytes()


async def test_what_is_open_in_a_ledger_is_told_while_it_is_owned(path: Path) -> None:
    """Open intents, and unknowns that nobody has settled, which want a person."""
    owner = await SqliteLedger.open(path)
    await owner.belong_to(BROKER)
    await owner.conclude(SECOND, told("unknown"), None)
    await owner.intend(FIRST, BEFORE, ORIGIN)
    found = ledger_found(path)
    assert {"open_intents": 1, "unsettled": 1} == found["entries"].facts
    assert State.WARNING == found["entries"].state
    assert {State.OK} == {found[what].state for what in ("file", "schema", "owner")}
    await owner.close()


@pytest.mark.parametrize(
    ("broker", "state", "words"),
    [
        (BROKER, State.OK, "which is this broker"),
        ("rabbit@there/", State.FAILED, f"belongs to {BROKER}, not to rabbit@there/"),
        (None, State.WARNING, "nobody can say whether it is this one"),
    ],
)
async def test_a_ledger_says_whose_it_is(
    broker: str | None, state: State, words: str, path: Path
) -> None:
    """Another broker's ledger has failed; without a broker nobody knows."""
    owner = await SqliteLedger.open(path)
    await owner.belong_to(BROKER)
    await owner.close()
    found = ledger_found(path, broker)["owner"]
    assert (state, {"broker": BROKER}) == (found.state, found.facts)
    assert words in found.detail


@pytest.mark.parametrize(
    "url", ["", "sqlite:///broken.db", "postgresql://u:canary@/x?host=/nowhere"]
)
def test_a_ledger_that_cannot_be_used_has_failed(url: str, path: Path) -> None:
    """A newer one, a damaged one, a database that is not there: with the reason."""
    Path("broken.db").write_bytes(b"canary, and certainly no database" * 100)
    with written(path) as writer:
        writer.execute("PRAGMA user_version = 99")
    settings = Settings.load(ledger_url=url or f"sqlite:///{path}")
    found = ledger.look(settings, BROKER)
    assert State.FAILED == worst(found)
    assert "canary" not in str(found)
    assert [] == [each for each in found if each.state == State.FAILED and not each.detail]


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield folder
    folder.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_written_has_failed(locked: Path) -> None:
    """SQLite writes beside its file; an administrator may write everywhere."""
    writable = os.geteuid() == 0
    found = ledger_found(locked / "courier.db")["file"]
    assert writable == found.facts["writable"]
    assert (State.OK if writable else State.FAILED) == found.state
    nowhere = ledger_found(Path("/proc/no/courier.db"))
    assert {State.FAILED} == {nowhere["file"].state, nowhere["space"].state}


@pytest.mark.parametrize(
    ("dated", "skew"), [(1000.0, 0.5), (990.0, -9.5), (1600.0, 600.5), (None, None)]
)
def test_a_clock_is_compared_half_way_through_the_round_trip(
    dated: float | None, skew: float | None
) -> None:
    """Asked at 999, answered at 1001; the header counts whole seconds, so half of one is added."""
    header = "" if dated is None else formatdate(dated, usegmt=True)
    assert skew == clock_skew(header, 999.0, 1001.0)


def test_the_worst_finding_is_how_well_everything_is() -> None:
    """Warnings are no failure; the document is what programs read."""
    found = [Finding("broker", each, State(each), "d", {"f": 1}) for each in ("warning", "ok")]
    assert {
        "state": "warning",
        "findings": [
            {"part": "broker", "what": each, "state": each, "detail": "d", "facts": {"f": 1}}
            for each in ("warning", "ok")
        ],
    } == document(found)
    assert "failed" == worst([*found, Finding("ledger", "file", State.FAILED, "d")])
    assert "ok" == worst([])
