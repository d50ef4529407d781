"""Bytes become a command or a rejection; what is secret in them stays so."""

import base64
import gzip
import hashlib
import traceback
import tracemalloc
from typing import Any, Final

import pytest

from service.errors import Reason, Rejection
from service.messages.commands import (
    MAX_FILE_BYTES,
    ActivateSmsLicense,
    ApplyVoiceLicense,
    LicenseFile,
    QueryDevices,
    decode,
    identify,
)
from service.messages.wire import MAX_BYTES, Identity, format_instant, masked, parse_instant
from tests.unit.making import (
    CONTENT,
    LICENSE,
    OTHER_LICENSE,
    SHA256,
    body,
    command,
    encode,
    message,
)

SECRET: Final = LICENSE[:-4]


def rejection(raw: bytes, *, content_encoding: str | None = None) -> Rejection:
    with pytest.raises(Rejection) as caught:
        decode(raw, content_encoding=content_encoding)
    return caught.value


def places(raw: bytes) -> list[str]:
    return [path for path, _ in rejection(raw).errors]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(body()[:-1], id="cut off"),
        pytest.param(body() + b"{}", id="more than one value"),
        pytest.param(b"\xff" + body(), id="no UTF-8"),
        pytest.param(body().replace(b"/portal", b"\xed\xa0\x80"), id="a surrogate in UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + body(), id="a byte order mark"),
        pytest.param(body().decode().encode("utf-16"), id="UTF-16"),
        pytest.param(body(extra=0).replace(b": 0", b": NaN"), id="NaN"),
        pytest.param(body(extra=0).replace(b": 0", b": -Infinity"), id="Infinity"),
        pytest.param(body(extra=0).replace(b": 0", b": " + b"9" * 5000), id="an absurd number"),
        pytest.param(b"[" * 100_000, id="absurd depth"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="absurd depth of objects"),
        pytest.param(body()[:-1] + b', "id": "c-1"}', id="an attribute twice"),
        pytest.param(body()[:-2] + b', "license": "x"}}', id="a field twice"),
        pytest.param(body(a=[{"b": 1}]).replace(b'"b": 1', b'"b":1,"b":1'), id="twice, deep down"),
    ],
)
def test_json_is_read_strictly(raw: bytes) -> None:
    """What JSON readers read differently is not JSON here."""
    assert Reason.NOT_JSON == rejection(raw).reason
    assert [""] == places(raw)


@pytest.mark.parametrize("name", ["dry_run", "\\u0064ry_run"])
def test_a_second_dry_run_never_wins(name: str) -> None:
    """A key that stands twice is refused, however it is spelled."""
    raw = body(data={"dry_run": True})[:-2] + f', "{name}": false}}}}'.encode()
    assert Reason.NOT_JSON == rejection(raw).reason


def test_a_content_encoding_is_refused() -> None:
    """Nothing is ever unpacked, not even what says that it is plain."""
    assert Reason.NOT_JSON == rejection(body(), content_encoding="gzip").reason
    assert Reason.NOT_JSON == rejection(body(), content_encoding="identity").reason


def test_two_mebibytes_are_read_and_no_byte_more() -> None:
    """The size is judged before anything is looked into."""
    largest = body() + b" " * (MAX_BYTES - len(body()))
    assert "c-1" == decode(largest).envelope.id
    assert Reason.TOO_LARGE == rejection(largest + b" ").reason
    assert Identity() == identify(largest + b" ")


def test_a_licence_file_of_one_mebibyte_is_read_and_no_byte_more() -> None:
    """The limit counts bytes after decoding, also where base64 rounds up."""
    content = hashlib.sha256(b"").digest() * (MAX_FILE_BYTES // 32)
    for extra, fits in (b"", True), (b"x", False):
        data = {"file": {"name": "a", "content": base64.b64encode(content + extra).decode()}}
        raw = body("apply-voice-license", data)
        if fits:
            assert MAX_FILE_BYTES == len(_file(raw).content.get_secret_value())
        else:
            assert ["/data/file/content"] == places(raw)


@pytest.mark.parametrize(
    ("reason", "raw"),
    [
        (Reason.TOO_LARGE, b"\xff" * (MAX_BYTES + 1)),
        (Reason.NOT_JSON, b'{"specversion": 3, "type": "x", "type": "y"}'),
        (Reason.NOT_A_CLOUDEVENT, body(id="", type="x", data={"appliance": 1})),
        (Reason.UNKNOWN_COMMAND, body(type="courier.activate-sms-license.v2", data={"a": 1})),
        (Reason.CONTRACT_VIOLATION, body(data={"appliance": 1})),
    ],
)
def test_the_first_reason_that_applies_is_told(reason: Reason, raw: bytes) -> None:
    """Each message is wrong in every later way too, and the reasons keep their public order."""
    assert reason == rejection(raw).reason


def test_every_mistake_is_told_up_to_twenty() -> None:
    """A producer learns all at once what to correct, within bounds."""
    raw = body(data={"appliance": "UP", "license": 5, "dry_run": "yes"})
    assert ["/data/appliance", "/data/license", "/data/dry_run"] == places(raw)
    crowd = {f"k{number}": 1 for number in range(30)}
    assert ["/data"] == places(body(data=crowd))
    assert len(rejection(body("query-devices", data=crowd)).errors) <= 20


@pytest.mark.parametrize(
    "name", [LICENSE, f"{LICENSE}[", "a/b", "a~b", "[key]", "\ud800" + LICENSE]
)
@pytest.mark.parametrize(
    ("kind", "parent"), [("activate-sms-license", "/data"), ("apply-voice-license", "/data/file")]
)
def test_an_unknown_field_is_told_by_its_parent(kind: str, parent: str, name: str) -> None:
    """The name of an unknown field appears nowhere: it may be a licence."""
    whole = message(kind)
    target = whole["data"]["file"] if parent.endswith("file") else whole["data"]
    target[name] = LICENSE
    refused = rejection(encode(whole))
    assert Reason.CONTRACT_VIOLATION == refused.reason
    assert {parent} == {path for path, _ in refused.errors}
    assert name not in str(refused.errors)
    assert SECRET not in str(refused.errors)


@pytest.mark.parametrize(
    "raw",
    [
        body(data={"license": LICENSE + "-X"}),
        body(data={"license": [LICENSE]}),
        body(data={"appliance": LICENSE}),
        body(data={LICENSE: 1}),
        body(id=" " + LICENSE),
        body(time=LICENSE),
        encode(message() | {"data": LICENSE}),
        body()[:-1],
        body(type=LICENSE),
        body("apply-voice-license", {"file": {"name": f"/{LICENSE}", "content": f"!{LICENSE}"}}),
    ],
)
def test_a_rejection_repeats_no_value(raw: bytes) -> None:
    """No rejection shows a licence: not in its errors, its text or the traceback in a log."""
    refused = rejection(raw)
    shown = f"{refused!r} {refused} {refused.errors} " + "".join(
        traceback.format_exception(refused)
    )
    assert SECRET not in shown


def test_a_licence_is_not_shown_by_a_command() -> None:
    """Whoever prints a command prints no licence and no licence file."""
    activation = command()
    shown = f"{activation!r} {activation} {activation.data!r} {activation.data.model_dump()}"
    assert SECRET not in shown
    assert SECRET not in activation.data.model_dump_json()
    application = command("apply-voice-license")
    assert "License" not in f"{application!r} {application.data.model_dump()}".replace(
        "ApplyVoiceLicense", ""
    ).replace("LicenseFile", "")


def test_a_licence_is_known_by_its_last_four_characters() -> None:
    """What is told of a licence is masked but for the end."""
    asked = command().data
    assert isinstance(asked, ActivateSmsLicense)
    assert "****-****-****-****-IJ90" == masked(asked.license)


def test_what_is_left_out_has_its_default() -> None:
    """The defaults of the contract are those of the code."""
    asked = command("query-devices").data
    assert isinstance(asked, QueryDevices)
    assert (None, False, 0, 500) == (asked.search, asked.unassigned_only, asked.start, asked.limit)
    activation = command().data
    assert isinstance(activation, ActivateSmsLicense)
    assert not activation.dry_run


def test_a_file_is_checked_against_its_checksum() -> None:
    """A sha256 that is given must be that of the content."""
    file = {"name": "a.lic", "content": CONTENT, "sha256": SHA256}
    assert SHA256 == _file(body("apply-voice-license", {"file": file})).sha256
    wrong = file | {"sha256": "0" * 64}
    assert ["/data/file/sha256"] == places(body("apply-voice-license", {"file": wrong}))


@pytest.mark.parametrize(
    ("kind", "spelled"),
    [
        ("activate-sms-license", {"dry_run": False}),
        ("apply-voice-license", {"dry_run": False}),
        ("query-devices", {"start": 0, "limit": 500, "unassigned_only": False}),
    ],
)
def test_a_default_that_is_spelled_out_is_the_same_content(
    kind: str, spelled: dict[str, Any]
) -> None:
    """The digest does not tell a default from its absence, nor one envelope from another."""
    assert command(kind).digest == command(kind, spelled).digest
    assert command(kind).digest == command(kind, correlationid="other", time=None).digest


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("activate-sms-license", {"dry_run": True}),
        ("activate-sms-license", {"license": OTHER_LICENSE}),
        ("activate-sms-license", {"license": LICENSE.lower()}),
        ("activate-sms-license", {"appliance": "fac-2"}),
        ("apply-voice-license", {"file": {"name": "b.lic", "content": CONTENT}}),
        ("apply-voice-license", {"file": {"name": "a.lic", "content": "AAAA"}}),
        ("query-devices", {"start": 1}),
        ("query-devices", {"search": "00"}),
    ],
)
def test_other_content_has_another_digest(kind: str, changed: dict[str, Any]) -> None:
    """What differs in data is another command, and the digest tells nothing of what it was."""
    assert command(kind).digest != command(kind, changed).digest
    assert hashlib.sha256(LICENSE.encode()).hexdigest() != command(kind, changed).digest


def test_the_digest_is_the_same_in_every_version() -> None:
    """Ledgers keep it for years: it covers what was said, so that a new default changes nothing."""
    text = f'["courier.activate-sms-license.v1", {{"appliance": "fac-1", "license": "{LICENSE}"}}]'
    assert hashlib.sha256(text.encode()).hexdigest() == command().digest


def test_the_type_belongs_to_the_digest() -> None:
    """The same data under another command is other content."""
    data = {"appliance": "fvc-1"}
    assert command("query-devices", data).digest != command("query-sms-balance", data).digest


def test_a_null_attribute_is_an_absent_one() -> None:
    """CloudEvents 1.0.2, JSON format, section 2.2: null means not there."""
    nulls: dict[str, Any] = dict.fromkeys(
        ["subject", "time", "expirytime", "correlationid", "causationid"]
    )
    nulls |= dict.fromkeys(["traceparent", "tracestate", "datacontenttype", "dataschema"])
    assert command().envelope == command(**nulls, data_base64=None).envelope
    assert "c-1" == command(correlationid=None).correlation_id


def test_an_empty_tracestate_is_read() -> None:
    """W3C Trace Context, section 3.3: empty is valid, and must be accepted."""
    assert "" == command(tracestate="").envelope.tracestate


def test_attributes_that_nobody_knows_are_ignored() -> None:
    """An extension of the envelope changes nothing, whatever it is called."""
    assert command() == command(dry_run=True, license=OTHER_LICENSE, sequence=[{}])


@pytest.mark.parametrize(
    ("expected", "raw"),
    [
        (
            Identity("c-1", "/portal", "courier.x.v1", "c-2"),
            body(type="courier.x.v1", correlationid="c-2"),
        ),
        (Identity(id="c-1", type="courier.activate-sms-license.v1"), body(source="a b")),
        (Identity(source="/portal", type="x"), body(id=7, type="x", correlationid="")),
        (Identity(), b"[" + body() + b"]"),
        (Identity(), body()[:-1]),
        (Identity(), b"null"),
    ],
)
def test_the_sender_is_read_as_far_as_possible(expected: Identity, raw: bytes) -> None:
    """A rejection can be answered to whoever can be made out, and to nobody else."""
    assert expected == identify(raw)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("2026-03-04T09:12:31.000Z", "2026-03-04T09:12:31Z"),
        ("2026-03-04T09:12:31.123Z", "2026-03-04t10:12:31.1239999999+01:00"),
        ("2026-03-03T23:59:59.000Z", "2026-03-03T23:59:60Z"),
        ("2026-03-04T00:00:00.500Z", "2026-03-03T23:30:00.5-00:30"),
    ],
)
def test_instants_are_told_in_utc(expected: str, text: str) -> None:
    """Whatever RFC 3339 allows is read; what is told has milliseconds and a Z."""
    assert expected == format_instant(parse_instant(text))


@pytest.mark.parametrize(
    "text",
    [
        *("2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00"),
        *("2026-03-04T09:12Z", "2026-03-04", "2026-W10-3T09:12:31Z", "20260304T091231Z"),
        *("2026-03-04T09:12:31", "2026-03-04T24:00:00Z", "2026-03-04T09:12:31Z\n"),
        *("\u0662026-03-04T09:12:31Z", "", 1),
    ],
)
def test_no_other_text_is_an_instant(text: object) -> None:
    """ISO 8601 has more forms than RFC 3339, and the calendar fewer days."""
    with pytest.raises(ValueError, match="must be an RFC 3339 instant"):
        parse_instant(text)


def _file(raw: bytes) -> LicenseFile:
    data = decode(raw).data
    assert isinstance(data, ApplyVoiceLicense)
    return data.file


def test_what_is_packed_stays_packed() -> None:
    """A kilobyte that would become a gigabyte is a kilobyte that is no JSON, whoever says so."""
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        reasons = {rejection(bomb, content_encoding=said).reason for said in ("gzip", None)}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {Reason.NOT_JSON} == reasons
    assert peak < 1_000_000
