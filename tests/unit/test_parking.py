"""What is said of a parked message, whether it is meant, where it goes, and how it is kept."""

import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from service.ledger import Told
from service.ledger.opening import if_there
from service.ledger.sqlite import SqliteLedger
from service.messages.wire import format_instant, now
from service.parking.forecast import Route, forecast, route_of
from service.parking.message import Held, Selection
from service.parking.moving import replayed, save
from service.parking.parked import Taken
from service.parking.words import age, clean, everything, printable, summary
from tests.unit.amqp import long, properties, short, table, text
from tests.unit.ledgers import ORIGIN
from tests.unit.making import LICENSE, OTHER_LICENSE, body, command

PARKED_AT: Final = "2026-03-04T09:12:31.123Z"
DIED: Final = datetime(2026, 3, 4, 9, 12, 31, tzinfo=UTC)
QUEUE: Final = "courier.activate-sms-license"
DAY: Final = timedelta(days=1)


def ours(reason: str = "contract-violation", **more: str) -> dict[bytes, bytes]:
    """The headers that the service writes when it parks a message."""
    told = {"courier-reason": reason, "courier-parked-at": PARKED_AT, "courier-queue": QUEUE}
    return {name.encode(): text(value) for name, value in (told | more).items()}


def death(queue: str) -> bytes:
    stamp = b"T" + struct.pack(">Q", int(DIED.timestamp()))
    told = {b"queue": text(queue), b"reason": text("delivery_limit"), b"time": stamp}
    return long(b"F", table(told))


def deaths(*queues: str) -> dict[bytes, bytes]:
    """The header that the broker writes when it moves a message, the latest first."""
    return {b"x-death": long(b"A", b"".join(death(queue) for queue in queues))}


BY_THE_BROKER: Final = deaths("courier.quarantine", QUEUE)


def held(
    content: bytes | None = None, headers: dict[bytes, bytes] | None = None, **fields: bytes
) -> Held:
    raw = properties(ours() if headers is None else headers, **fields)
    return Held.of(Taken(1, raw, body() if content is None else content))


def test_a_message_is_named_by_its_id_else_by_its_digest() -> None:
    """Also the appliance is told, if it is a name; nothing else of the data is."""
    message = held().message
    assert ("c-1", "c-1", "/portal", "fac-1", len(body())) == (
        *(message.short_id, message.identity.id, message.identity.source),
        *(message.appliance, message.size),
    )
    for odd in (b"{", b"[]", b"\xff", b"", b" " * (3 * 2**20)):
        broken = held(odd).message
        assert hashlib.sha256(odd).hexdigest()[:12] == broken.short_id
        assert broken.appliance is None
    for data in ({"appliance": LICENSE}, {"appliance": ["fac-1"]}):
        assert held(body(data=data)).message.appliance is None


@pytest.mark.parametrize(
    ("reason", "queue", "parked_at", "headers", "fields"),
    [
        ("not-json", QUEUE, PARKED_AT, ours("not-json"), {}),
        ("delivery-limit", QUEUE, DIED, BY_THE_BROKER, {}),
        ("delivery-limit", QUEUE, DIED, ours("not-json") | BY_THE_BROKER, {}),
        ("delivery-limit", QUEUE, PARKED_AT, ours("delivery-limit") | deaths(QUEUE), {}),
        ("delivery-limit", "courier.quarantine", DIED, deaths("courier.quarantine"), {}),
        ("unreadable-properties", QUEUE, DIED, BY_THE_BROKER, {"message_id": short(b"\xff")}),
        (None, None, None, {}, {}),
        (None, None, None, {b"courier-reason": b"V", b"x-death": long(b"A", b"V")}, {}),
        ("x", QUEUE, None, ours("x", **{"courier-parked-at": "yesterday"}), {}),
    ],
)
def test_reason_instant_and_queue_are_the_latest_that_is_told(
    reason: str | None,
    queue: str | None,
    parked_at: str | datetime | None,
    headers: dict[bytes, bytes],
    fields: dict[str, bytes],
) -> None:
    """By the service's headers, unless the broker parked it afterwards; unreadable wins."""
    message = held(None, headers, **fields).message
    expected = format_instant(parked_at) if isinstance(parked_at, datetime) else parked_at
    told = format_instant(message.parked_at) if message.parked_at else None
    assert (reason, queue, expected) == (message.reason, message.queue, told)


def test_a_mark_is_the_same_at_every_look_and_for_no_other_message() -> None:
    """The broker counts the looks in a header; any other difference is another message."""
    looked = held(None, ours() | {b"x-delivery-count": b"l" + struct.pack(">q", 7)})
    assert held().message.mark == looked.message.mark
    others = [held(b"{"), held(None, ours("other")), held(None, ours(), priority=b"\x01")]
    assert 4 == len({held().message.mark, *(other.message.mark for other in others)})


@pytest.mark.parametrize(
    ("expected", "selection"),
    [
        (True, Selection(everything=True)),
        (True, Selection(id="c-1")),
        (True, Selection(id=hashlib.sha256(body()).hexdigest()[:8].upper())),
        (False, Selection(id=hashlib.sha256(body()).hexdigest()[:7])),
        (False, Selection(id="c-2", everything=True)),
        (False, Selection(id="", everything=True)),
        (True, Selection(reason="contract-violation", older_than=DAY)),
        (False, Selection(reason="not-json", older_than=DAY)),
        (False, Selection(id="c-1", older_than=DAY + timedelta(seconds=1))),
    ],
)
def test_a_message_is_meant_when_all_that_was_said_holds(
    expected: bool, selection: Selection
) -> None:
    """Id or digest, reason, age; the wish for all adds nothing to them."""
    message = held().message
    assert message.parked_at is not None
    assert expected == selection.takes(message, message.parked_at + DAY)


def test_what_nobody_knows_the_age_of_is_never_older() -> None:
    """Else a message that came just now could be thrown away with the old ones."""
    assert not Selection(older_than=timedelta(0)).takes(held(None, {}).message, now())


def test_nothing_chosen_is_no_choice() -> None:
    """Everything must be asked for; an age of nothing is something."""
    assert Selection().says_nothing
    assert not Selection(older_than=timedelta(0)).says_nothing


@pytest.mark.parametrize(
    ("expected", "content", "queue"),
    [
        (Route("courier.commands", "courier.query-devices.v2"), "courier.query-devices.v2", "x"),
        (Route("", QUEUE), "courier.reboot.v1", QUEUE),
        (Route("", QUEUE), "courier.query-devices", QUEUE),
        (Route("", QUEUE), "courier.query-devices.v1.v2", QUEUE),
        (Route("", QUEUE), None, QUEUE),
        (Route("", "courier.quarantine"), None, "courier.quarantine"),
        (Route("", "courier.unknown-command"), None, "courier.unknown-command"),
        (None, None, "courier.events"),
        (None, "courier.reboot.v1", "somebody-elses"),
    ],
)
def test_a_replay_goes_where_the_type_says_else_whence_it_came(
    expected: Route | None, content: str | None, queue: str
) -> None:
    """A type for which a queue is bound decides; a queue must be one of ours."""
    whole = b"{" if content is None else body(type=content)
    assert expected == route_of(held(whole, ours(**{"courier-queue": queue})).message)


def test_a_replay_keeps_the_identity_and_begins_anew() -> None:
    """Properties and the producer's headers stay; the broker's and the attempts' do not."""
    gone = {
        b"courier-attempt": b"l" + bytes(8),
        b"courier-last-error": text("unreachable"),
        b"courier-received-at": text(PARKED_AT),
        b"courier-expiration": text("1000"),
        b"x-delivery-count": b"l" + bytes(8),
        b"CC": long(b"A", text("elsewhere")),
        b"bcc": long(b"A", text("elsewhere")),
    }
    stays = {b"tenant": text("ottawa"), b"courier-intent": b"t\x01"}
    identity = {
        "message_id": short(b"m-1"),
        "correlation_id": short(b"request-1"),
        "reply_to": short(b"answers"),
        "timestamp": struct.pack(">Q", 1),
        "type": short(b"odd"),
        "app_id": short(b"portal"),
    }
    other = {"user_id": short(b"portal"), "expiration": short(b"1"), "delivery_mode": b"\x01"}
    copy = replayed(held(None, stays | gone | ours("delivery-limit"), **identity, **other))
    expected = properties(stays | ours("delivery-limit"), **identity, delivery_mode=b"\x02")
    assert expected == copy.raw


def test_a_replay_of_what_the_broker_parked_says_why_it_was_parked() -> None:
    """The broker's words go; that it may have run before must not go with them."""
    copy = replayed(held(None, BY_THE_BROKER))
    assert {
        "courier-reason": "delivery-limit",
        "courier-parked-at": format_instant(DIED),
        "courier-queue": QUEUE,
    } == copy.all_headers()


def said(of: Held, path: Path) -> str:
    with if_there(path) as care:
        return forecast(of, care).text


async def test_what_the_ledger_knows_is_said_first(sqlite: SqliteLedger, tmp_path: Path) -> None:
    """Never seen, under way, ended, other content; and the file is read while it is in use."""
    path = tmp_path / "courier.db"
    fresh = held(body(time=format_instant(now())))
    assert "never seen it: will be run" in said(fresh, path)
    intent = await sqlite.intend(command(), b"{}", ORIGIN)
    assert "read back, not written again" in said(fresh, path)
    assert "id-conflict" in said(held(body(data={"license": OTHER_LICENSE})), path)
    await sqlite.conclude(command(), Told("succeeded", b'{"effect": "added"}', DIED), intent)
    expected = f"already succeeded (added) at {format_instant(DIED)}: the replay will tell the"
    assert expected in said(fresh, path)


@pytest.mark.parametrize(
    ("expected", "content", "fields"),
    [
        ("cannot be replayed (unreadable-properties)", body(), {"message_id": short(b"\xff")}),
        ("still not valid: not-json", b"{", {}),
        ("contract-violation (/data/license must", body(data={"license": "x"}), {}),
        ("still not valid: not-json", body(), {"content_encoding": short(b"gzip")}),
        ("has passed: will end failed (expired)", body(expirytime=PARKED_AT), {}),
        ("is a query: will be run", body("query-devices"), {}),
    ],
)
async def test_what_can_be_known_before_is_said(
    expected: str, content: bytes, fields: dict[str, Any], sqlite: SqliteLedger, tmp_path: Path
) -> None:
    """What cannot be replayed, is not valid, or comes too late."""
    assert sqlite.created_at <= now()
    assert expected in said(held(content, **fields), tmp_path / "courier.db")


@pytest.mark.parametrize(
    ("expected", "headers", "attributes"),
    [
        ("may have run before", ours("delivery-limit"), {}),
        ("may have run before", ours() | {b"courier-intent": b"t\x01"}, {}),
        ("will be run", ours(), {}),
        ("will be run", ours("delivery-limit"), {"data": {"dry_run": True}}),
    ],
)
async def test_what_an_earlier_ledger_may_have_known_will_not_be_run(
    expected: str,
    headers: dict[bytes, bytes],
    attributes: dict[str, Any],
    sqlite: SqliteLedger,
    tmp_path: Path,
) -> None:
    """It was parked before this ledger was made, for deliveries that were used up."""
    assert sqlite.created_at <= now()
    assert expected in said(held(body(**attributes), headers), tmp_path / "courier.db")


def test_without_a_ledger_nothing_is_claimed(tmp_path: Path) -> None:
    """The tool may run where the service does not; it makes no file, nor fills an empty one."""
    limited = held(None, ours("delivery-limit"))
    for expected, parked in (("there is no ledger here", held()), ("may have run", limited)):
        assert expected in said(parked, tmp_path / "courier.db")
        assert [] == list(tmp_path.iterdir())
    (tmp_path / "courier.db").touch()
    assert "there is no ledger here" in said(held(), tmp_path / "courier.db")
    assert b"" == (tmp_path / "courier.db").read_bytes()


def test_a_message_is_saved_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Body and properties to the byte, in a directory and files that nobody else may read."""
    kept = held(b"\xff\x00", ours(latin="x"), message_id=short(b"\xff"))
    for _ in range(2):  # whoever died between file and ack saves it once more
        save(kept, tmp_path / "new" / "saved")
    original, told = sorted((tmp_path / "new" / "saved").iterdir())
    assert b"\xff\x00" == original.read_bytes()
    document = json.loads(told.read_text())
    assert ("unreadable-properties", "\\xff", "x") == (
        *(document["reason"], document["properties"]["message_id"]),
        document["headers"]["latin"],
    )
    modes = {path.stat().st_mode & 0o777 for path in (told, original)}
    assert ({0o600}, 0o700) == (modes, told.parent.stat().st_mode & 0o777)


def test_nothing_secret_and_nothing_that_a_terminal_obeys_is_printed() -> None:
    """Whoever can publish can write an id, a source and headers."""
    assert "\\x1b[2J\\n\\u202e" == printable("\x1b[2J\n\u202e")
    assert "****-IJ90 - ü" == f"{printable(LICENSE)[-9:]} {printable(None)} {printable('ü')}"
    headers = ours() | {b"password": text("canary"), b"note": text(f"see {LICENSE}")}
    told = json.dumps(clean(everything(held(body(subject=LICENSE), headers, type=short(b"x")))))
    assert LICENSE not in told
    assert "canary" not in told
    assert "fac-1" in told
    assert {*summary(held().message)} < {*everything(held())}


@pytest.mark.parametrize(
    ("expected", "seconds"),
    [("0 s", -5), ("59 s", 59), ("1 min", 60), ("23 h", 86399), ("2 d", 2 * 86400 + 1)],
)
def test_an_age_is_told_in_its_largest_unit(expected: str, seconds: int) -> None:
    """Short enough for a column."""
    assert expected == age(DIED, DIED + timedelta(seconds=seconds))
    assert "-" == age(None, DIED)
