"""Every answer has a meaning: the table of all statuses, and what comes of an answer in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service.appliances import fortiauthenticator, fortivoice
from service.appliances.answers import Meaning, Operation
from service.appliances.credentials import CredentialsRefused
from service.errors import AnswerLost, Code, CommandError, Failed, Refused
from service.simulator import Answer, Truncate
from tests.appliances.pairs import Voice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.simulator import Action
    from tests.appliances.pairs import Make, Pair

Told = tuple[type[CommandError], Code, int | None] | None
"""Error, code and status; None when the answer is taken."""

OPERATIONS = {
    each.name: each
    for module in (fortiauthenticator, fortivoice)
    for each in vars(module).values()
    if isinstance(each, Operation)
}

MEANINGS: dict[str, dict[Meaning, str]] = {
    "balance": {
        Meaning.DONE: "200",
        Meaning.NO_SESSION: "401",
        Meaning.DENIED: "403",
        Meaning.TROUBLE: "408 429 500-599",
    },
    "activate": {
        Meaning.DONE: "200-299",
        Meaning.DENIED: "401 403",
        Meaning.LICENSE_REFUSED: "400 402 404-407 409-428 430-499",
        Meaning.TROUBLE: "408 429 500 501 503 505-599",
    },
    "login": {
        Meaning.DONE: "200",
        Meaning.NO_CREDENTIALS: "401 403",
        Meaning.TROUBLE: "408 429 500-599",
    },
    "devices": {
        Meaning.DONE: "200",
        Meaning.NO_SESSION: "401 403",
        Meaning.TROUBLE: "408 429 500-599",
    },
    "token": {
        Meaning.DONE: "200",
        Meaning.NO_SESSION: "401 403",
        Meaning.TROUBLE: "408 429 500-599",
    },
    "upload": {
        Meaning.DONE: "200",
        Meaning.NO_SESSION: "401 403",
        Meaning.LICENSE_REFUSED: "400 413",
        Meaning.TROUBLE: "408 429 500-599",
    },
    "apply": {
        Meaning.DONE: "200",
        Meaning.LICENSE_REFUSED: "400",
    },
    "logout": {
        Meaning.DONE: "200",
        Meaning.TROUBLE: "408 429 500-599",
    },
}
"""What statuses mean, by operation. What is not named here is unexpected, or lost for a write."""

WRITES = {"activate", "apply"}
IMPOSSIBLE = (-500, -1, 0, 1, 2, 4, 20, 40, 50, 99, 600, 999, 1000, 4030, 20000)

STATUSES: dict[str, Action] = {
    str(status): Answer(
        status=status,
        headers={"Location": "/elsewhere"} if 300 <= status < 400 else {},
        body="" if status in {204, 205, 304} else "<h1>no</h1>",
    )
    for status in (
        *(201, 202, 204, 207, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409),
        *(413, 415, 418, 422, 429, 500, 501, 502, 503, 504, 507, 599),
    )
}
PAGE = "<!doctype html><title>Login</title>"
PLAIN = (
    '{"token": "t", "id": "i", "collection": [], "total_sms": 1, "used_sms": 1, "available_sms": 0}'
)


def body(text: str, kind: str = "application/json") -> Answer:
    """Answer 200 with this body, and otherwise as it would have been answered."""
    return Answer(status=200, body=text, headers={"Content-Type": kind}, when="after")


BODIES: dict[str, Action] = {
    "plain": body(PLAIN),
    "plain-as-a-page": body(PLAIN, "text/html"),
    "no-error": body(PLAIN.replace("{", '{"errorType": 0, ')),
    "an-error": body(PLAIN.replace("{", '{"errorType": 7, ')),
    "lone-backslash": body(PLAIN.replace("{", r'{"name": "FortiFone-550i\560i", ')),
    "page": body(PAGE, "text/html"),
    "page-as-json": body(PAGE),
    "empty": body(""),
    "null": body("null"),
    "list": body("[]"),
    "half": body(PLAIN[:-1]),
    "deep": body('{"a":' * 100_000),
    "cut-off": Truncate(),
    "endless": Answer(status=200, body="x" * 65_536, repeat=260, when="after"),
}


def all_of(names: str, error: type[CommandError], code: Code) -> dict[str, Told]:
    """Say what comes of statuses, and of bodies under 200."""
    return {name: (error, code, int(name) if name.isdecimal() else 200) for name in names.split()}


TAKEN: dict[str, Told] = dict.fromkeys(["plain", "plain-as-a-page", "no-error", "lone-backslash"])
NO_JSON = "page page-as-json empty null list half deep"
ALL = " ".join(STATUSES)
DENIED = (Refused, Code.PERMISSION_DENIED)
LICENSE = (Refused, Code.LICENSE_REFUSED)
CREDENTIALS = (CredentialsRefused, Code.CREDENTIALS_REFUSED)
TROUBLE = (Failed, Code.APPLIANCE_ERROR)
UNEXPECTED = (Failed, Code.UNEXPECTED_ANSWER)
UNCLEAR = (AnswerLost, Code.UNEXPECTED_ANSWER)

# A read and a step: it may be asked again.
ASKED: dict[str, Told] = {
    **all_of(ALL, *UNEXPECTED),
    **all_of("408 429 500 501 502 503 504 507 599", *TROUBLE),
    **TAKEN,
    **all_of(NO_JSON + " an-error endless", *UNEXPECTED),
    "cut-off": (Failed, Code.UNREACHABLE, None),
}
# Here an answer is not looked into, as long as the status says yes.
ACTIVATED: dict[str, Told] = {
    **dict.fromkeys([*STATUSES, *BODIES]),
    **all_of("301 302 304 307 308 502 504", *UNCLEAR),
    **all_of("400 402 404 405 409 413 415 418 422", *LICENSE),
    **all_of("401 403", *DENIED),
    **all_of("408 429 500 501 503 507 599", *TROUBLE),
    **all_of("endless", *UNCLEAR),
    "cut-off": (AnswerLost, Code.UNREACHABLE, None),
}
APPLIED: dict[str, Told] = {
    **all_of(ALL, *UNCLEAR),
    **all_of("400", *LICENSE),
    **TAKEN,
    **all_of(NO_JSON + " an-error endless", *UNCLEAR),
    "cut-off": (AnswerLost, Code.UNREACHABLE, None),
}
# The guide of the FortiAuthenticator has no envelope and no invalid JSON.
BALANCE: dict[str, Told] = {"an-error": None, **all_of("lone-backslash", *UNEXPECTED)}
KEY = all_of("401", *CREDENTIALS) | all_of("403", *DENIED)

OUTCOMES: dict[tuple[str, str], dict[str, Told]] = {
    ("fortiauthenticator", "login"): ASKED | BALANCE | KEY,
    ("fortiauthenticator", "reading"): ASKED | BALANCE | KEY,
    ("fortiauthenticator", "writing"): ACTIVATED,
    ("fortivoice", "login"): (
        ASKED | all_of("401 403", *CREDENTIALS) | all_of("an-error", *CREDENTIALS)
    ),
    ("fortivoice", "reading"): ASKED | all_of("401 403", *DENIED),
    ("fortivoice", "token"): ASKED | all_of("401 403", *DENIED),
    ("fortivoice", "upload"): ASKED | all_of("401 403", *DENIED) | all_of("400 413", *LICENSE),
    ("fortivoice", "writing"): APPLIED,
}
"""What comes of each answer, by kind and step."""


def numbers(text: str) -> set[int]:
    """Read a row of the table: numbers and ranges of them."""
    found: set[int] = set()
    for part in text.split():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def test_every_operation_stands_in_the_table() -> None:
    """Whoever adds one says what its answers mean."""
    assert MEANINGS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", MEANINGS)
def test_every_status_means_what_the_table_says(name: str) -> None:
    """From 100 to 599, and what is no status at all."""
    expected = dict.fromkeys(
        (*range(100, 600), *IMPOSSIBLE), Meaning.LOST if name in WRITES else Meaning.UNEXPECTED
    )
    for meaning, statuses in MEANINGS[name].items():
        expected |= dict.fromkeys(numbers(statuses), meaning)

    found = {status: OPERATIONS[name].meaning(status) for status in expected}

    assert {} == {status: found[status] for status in expected if found[status] != expected[status]}


async def meet(pair: Pair, step: str, action: Action) -> Told:
    """Get so far that only one step is left, have it answered so, and say what came of it."""
    act: Callable[[], Awaitable[object]] = pair.read
    if step == "reading":
        await pair.read()
    elif step == "token":
        assert isinstance(pair, Voice)
        act = pair.adapter.authorise
    elif step == "upload":
        act = pair.ready
    elif step == "writing":
        act = await pair.ready()
    named = {"login": pair.login, "reading": pair.reading, "writing": pair.writing}
    pair.fault(action, named.get(step, step))
    try:
        await act()
    except CommandError as error:
        return type(error), error.code, error.status
    else:
        return None


@pytest.mark.parametrize("answers", [STATUSES, BODIES], ids=["statuses", "bodies"])
@pytest.mark.parametrize(("kind", "step"), OUTCOMES)
async def test_every_answer_ends_as_the_table_says(
    make: Make, kind: str, step: str, answers: dict[str, Action]
) -> None:
    """Status and body decide, and never the content type; each answer meets a new adapter."""
    expected = {name: OUTCOMES[kind, step][name] for name in answers}
    found: dict[str, Told] = {}
    for name, action in answers.items():
        pair = make()
        pair.simulated.faults.replace([])
        found[name] = await meet(pair, step, action)

    assert {} == {name: found[name] for name in found if found[name] != expected[name]}
