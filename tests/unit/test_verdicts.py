"""What `courier contracts validate` says of one message, wherever it comes from."""

from pathlib import Path
from typing import Final

import pytest

from service.cli.verdicts import judge
from tests.unit.making import LICENSE, SHA256, body

CONTRACTS: Final = Path(__file__).parents[2] / "contracts"
EXAMPLES: Final = sorted(CONTRACTS.glob("*/*/v1.examples/*.json"))
COUNTEREXAMPLES: Final = sorted(CONTRACTS.glob("*/*/v1.counterexamples/*.json"))
ACTIVATE: Final = "courier.activate-sms-license.v1"


def named(path: Path) -> str:
    return f"{path.parts[-3]}-{path.stem}"


@pytest.mark.parametrize("path", EXAMPLES, ids=named)
def test_every_example_is_valid(path: Path) -> None:
    """Of commands and events, each by its own type."""
    assert str(judge(path.read_bytes())).endswith("  valid")


@pytest.mark.parametrize("path", COUNTEREXAMPLES, ids=named)
def test_no_counterexample_is_valid(path: Path) -> None:
    """Held against the contract beside it, since some are of another type or of none."""
    kind = f"courier.{path.parts[-3]}.v1"
    assert judge(path.read_bytes(), contract=kind).fault


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("/ Expecting property name enclosed in double quotes at line 1, column 2", b"{"),
        ("/ is not UTF-8", b'"\xff"'),
        ("/ an object has the same key twice", b'{"id": "1", "id": "2"}'),
        ("no type", b"[]"),
        ("no type", b'{"type": 7}'),
        ("there is no contract of this type", b'{"type": "courier.nothing.v1"}'),
        ("/data/license does not fit `pattern`", body(data={"license": "too-short"})),
        ("/data does not fit `additionalProperties`", body(data={LICENSE: True})),
        ("/ does not fit `type`", b"[]"),
    ],
)
def test_what_is_wrong_is_told_by_path_and_rule(fault: str, message: bytes) -> None:
    """And never by its value, nor by the name of a field that nobody knows."""
    contract = ACTIVATE if "`type`" in fault else None
    assert fault == judge(message, contract=contract).fault


def test_a_missing_field_is_told_by_its_own_path() -> None:
    """As a rejection tells it."""
    verdict = judge(b'{"type": "courier.query-sms-balance.v1", "data": {}}')
    assert [
        "/data/appliance does not fit `required`",
        "/id does not fit `required`",
        "/source does not fit `required`",
        "/specversion does not fit `required`",
    ] == sorted(verdict.fault.split("; "))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("/time must be an RFC 3339 instant", body(time="2026-02-30T10:00:00Z")),
        (
            "/data/file/sha256 is not the SHA-256 of the content",
            body(
                "apply-voice-license",
                {"file": {"name": "a", "content": "YQ==", "sha256": SHA256}},
            ),
        ),
        ("/ is larger than 2097152 bytes", body(note="x" * 2**21)),
    ],
)
def test_a_command_must_also_fit_what_a_schema_cannot_say(fault: str, message: bytes) -> None:
    """It is read as the courier would read it."""
    assert fault == judge(message).fault


def test_a_content_encoding_is_refused() -> None:
    """The one AMQP property that decides."""
    assert "" == judge(body()).fault
    assert "content encoding" in judge(body(), content_encoding="gzip").fault


def test_a_line_is_for_a_terminal() -> None:
    """Id or digest, type, verdict; nothing secret, and nothing that a terminal would obey."""
    assert f"c-1  {ACTIVATE}  valid" == str(judge(body()))
    odd = judge(b'{"id": "two words", "type": "\\u001b[31m%b"}' % LICENSE.encode())
    digest, _, rest = str(odd).partition("  ")
    assert 12 == len(digest)
    assert "\\x1b[31m****-IJ90  invalid: there is no contract of this type" == rest
    long = judge(b'{"type": "%b"}' % (b"x" * 10_000))
    assert 400 > len(str(long))
