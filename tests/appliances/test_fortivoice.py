from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from service.appliances.ports import NotSent, Upload
from service.errors import AnswerLost, Code, Failed, Refused
from service.messages.commands import LicenseFile
from service.simulator import Answer, ExpireSession, books
from tests.appliances.pairs import CONTENT, FILE

if TYPE_CHECKING:
    from tests.appliances.pairs import Voice

DIGEST = hashlib.sha256(CONTENT).hexdigest()


def file_of(content: bytes, name: str = "a.lic") -> LicenseFile:
    """Make a file as a command brings it."""
    return LicenseFile(name=name, content=base64.b64encode(content).decode())  # type: ignore[arg-type]  # as it travels


async def test_a_licence_is_brought_and_applied_in_one_session(voice: Voice) -> None:
    """Login, token, upload and apply come in this order, each once."""
    await voice.write()

    assert [name for name, _ in voice.simulated.calls] == ["login", "token", "upload", "apply"]
    assert voice.simulated.books.applied == {DIGEST: 1}


async def test_requests_are_as_the_guide_has_them(voice: Voice) -> None:
    """Paths keep their odd case and slashes; 22 is a number and "5" a string."""
    await voice.write()

    login, token, upload, apply = (call for _, call in voice.simulated.calls)
    assert [(call.method, call.path) for call in (login, token, upload, apply)] == [
        ("POST", "/api/v1/VoiceadminLogin"),
        ("POST", "/api/v1/SysStatusLicinfo"),
        ("POST", "/api/v1/uploadfile/"),
        ("PUT", "/api/v1/SysStatusLicinfo"),
    ]
    credentials = {"name": voice.simulated.username, "password": voice.simulated.password}
    assert credentials == json.loads(login.body)
    assert json.loads(token.body) == {"reqAction": 22}
    assert json.loads(apply.body).keys() == {"vm_lic_file", "reqAction"}
    assert json.loads(apply.body)["reqAction"] == "5"
    assert upload.body.index(b'name="license"') < upload.body.index(b'name="token"')


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("call center.lic", CONTENT),
        ("a", b"\0"),
        ("A-1_b.c", b"\r\n"),
        ("x" * 128, b"--\r\n--boundary--\r\n"),
        ("big.lic", bytes(range(256)) * 4096),
        ("text.lic", "Lizenz für Büro\n".encode()),
    ],
    ids=lambda value: str(value)[:16],
)
async def test_a_file_arrives_with_its_bytes_unchanged(
    voice: Voice, name: str, content: bytes
) -> None:
    """Name, size and checksum at the appliance are those of the file."""
    await voice.adapter.upload(file_of(content, name))

    digest = hashlib.sha256(content).hexdigest()
    assert [books.Upload(name, len(content), digest)] == voice.simulated.books.uploads


@pytest.mark.parametrize("lost_at", ["token", "upload"])
async def test_a_session_that_is_lost_on_the_way_starts_again_at_the_token(
    voice: Voice, lost_at: str
) -> None:
    """Tokens belong to their session: a new one needs its own, and the apply stays in it."""
    await voice.read()
    voice.fault(ExpireSession(), lost_at, times=1)

    await voice.write()

    assert voice.logins(reads=1) == 2
    assert voice.requests("token") == 2
    assert voice.simulated.books.applied == {DIGEST: 1}


async def test_a_session_that_is_lost_at_both_steps_costs_one_login_each_time(
    voice: Voice,
) -> None:
    """What is lost before the apply is begun again, and nobody is told."""
    await voice.write()
    voice.fault(ExpireSession(), "token", times=1)
    voice.fault(ExpireSession(), "upload", times=1)

    await voice.write()

    assert voice.logins(reads=0) == 3
    assert voice.simulated.books.applied == {DIGEST: 2}


@pytest.mark.parametrize("status", [500, 503])
async def test_an_upload_that_failed_begins_at_the_token_the_next_time(
    voice: Voice, status: int
) -> None:
    """Tokens are good for one use, and nobody knows whether it was used."""
    voice.fault(Answer(status=status, when="after"), "upload", times=1)
    with pytest.raises(Failed):
        await voice.write()

    await voice.write()

    assert (voice.requests("token"), voice.requests("upload")) == (2, 2)
    assert voice.simulated.books.applied == {DIGEST: 1}


async def test_an_apply_whose_session_was_given_up_meanwhile_was_certainly_not_sent(
    voice: Voice,
) -> None:
    """Others found the session over first: nothing is sent in another one, and all may be tried."""
    write = await voice.ready()
    voice.end_session()
    await voice.read()

    with pytest.raises(NotSent):
        await write()

    assert (voice.requests("apply"), voice.written()) == (0, 0)


async def test_an_upload_that_is_denied_in_a_new_session_too_is_refused(voice: Voice) -> None:
    """One new login, one repetition from the token on, then it is a permission."""
    voice.fault(Answer(status=403), "upload")

    with pytest.raises(Refused) as caught:
        await voice.write()

    assert (caught.value.code, caught.value.status) == (Code.PERMISSION_DENIED, 403)
    assert (voice.requests("token"), voice.requests("upload")) == (2, 2)


@pytest.mark.parametrize("operation", ["token", "upload"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=""),
        Answer(body="<h1>Login</h1>"),
        Answer(json={}),
        Answer(json={"token": "", "id": ""}),
        Answer(json={"token": 7, "id": 7}),
        Answer(json={"errorType": 1, "token": "t", "id": "i"}),
        Answer(status=404),
    ],
    ids=str,
)
async def test_a_step_without_its_result_is_unexpected_and_ends_the_upload(
    voice: Voice, operation: str, answer: Answer
) -> None:
    """No token, no upload; no file id, no apply. Nothing was changed by then."""
    voice.fault(answer, operation)

    with pytest.raises(Failed) as caught:
        await voice.write()

    assert caught.value.code is Code.UNEXPECTED_ANSWER
    assert (voice.requests("token"), voice.requests("apply")) == (1, 0)


@pytest.mark.parametrize("operation", ["token", "upload"])
async def test_a_step_that_meets_an_appliance_in_trouble_has_failed(
    voice: Voice, operation: str
) -> None:
    """5xx before the apply may be tried again later."""
    voice.fault(Answer(status=500), operation)

    with pytest.raises(Failed) as caught:
        await voice.write()

    assert (caught.value.code, caught.value.status) == (Code.APPLIANCE_ERROR, 500)


@pytest.mark.parametrize(
    ("operation", "status"), [("upload", 400), ("upload", 413), ("apply", 400)]
)
async def test_a_licence_file_that_the_appliance_does_not_want_is_refused(
    voice: Voice, operation: str, status: int
) -> None:
    """Nothing in the request but the file is ours; it is applied nowhere and not sent again."""
    voice.fault(Answer(status=status, json={"errorType": 1}), operation)

    with pytest.raises(Refused, match=r"^fvc-1 refuses the licence$") as caught:
        await voice.write()

    assert (Code.LICENSE_REFUSED, status) == (caught.value.code, caught.value.status)
    assert (voice.requests(operation), voice.written()) == (1, 0)


async def test_a_token_that_is_refused_is_no_refused_file(voice: Voice) -> None:
    """The file has not been shown by then: 400 is not what the guide allows."""
    voice.fault(Answer(status=400), "token")

    with pytest.raises(Failed) as caught:
        await voice.write()

    assert (caught.value.code, caught.value.status) == (Code.UNEXPECTED_ANSWER, 400)


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status=status) for status in (201, 204, 301, 307, 401, 403, 404, 405, 408, 429)),
        *(Answer(status=status, when="after") for status in (403, 500, 502, 503, 504)),
        Answer(body="<h1>Login</h1>", when="after"),
        Answer(body="[]", when="after"),
        Answer(body="[" * 100_000, when="after"),
        Answer(json={"errorType": 1}, when="after"),
        Answer(json={"errorType": "7"}, when="after"),
        Answer(json={"errorType": [7]}, when="after"),
    ],
    ids=lambda answer: str(answer)[:70],
)
async def test_an_apply_that_is_not_confirmed_is_a_lost_answer(
    voice: Voice, answer: Answer
) -> None:
    """Nothing documented tells afterwards which licence is installed; it is not sent again."""
    voice.fault(answer, "apply")

    with pytest.raises(AnswerLost) as caught:
        await voice.write()

    assert caught.value.status == (answer.status or 200)
    assert voice.requests("apply") == 1
    assert voice.logins(reads=0) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(json={"errorType": 0, "reqAction": 5}, when="after"),
        Answer(json={}, when="after"),
        Answer(body=r'{"reqAction": 5, "name": "FortiFone-550i\560i"}', when="after"),
    ],
    ids=str,
)
async def test_an_apply_is_confirmed_by_200_and_an_envelope_without_an_error(
    voice: Voice, answer: Answer
) -> None:
    """What else stands in it does not matter, a lone backslash included."""
    voice.fault(answer, "apply")

    await voice.write()

    assert voice.written() == 1


async def test_an_apply_goes_into_the_session_of_its_upload_or_nowhere(voice: Voice) -> None:
    """A session that was lost before the apply is not replaced: the file is not known there."""
    write = await voice.ready()
    voice.simulated.expire_sessions()

    with pytest.raises(AnswerLost) as caught:
        await write()

    assert caught.value.status == 403
    assert (voice.requests("apply"), voice.logins(reads=0)) == (1, 1)
    await voice.write()
    assert voice.written() == 1


async def test_an_upload_from_elsewhere_is_a_bug(voice: Voice) -> None:
    """The session of an upload is opaque: nobody makes one up."""
    with pytest.raises(TypeError):
        await voice.adapter.apply(Upload("license_WssKBI", object()))

    assert voice.simulated.calls == []


async def test_a_dry_run_ends_with_a_token_that_nobody_uses(voice: Voice) -> None:
    """The right to upload is proved, and nothing is uploaded."""
    await voice.adapter.authorise()

    assert [name for name, _ in voice.simulated.calls] == ["login", "token"]


async def test_a_dry_run_that_is_denied_is_refused(voice: Voice) -> None:
    """It tells before the real run that the account may not do it."""
    voice.fault(Answer(status=403), "token")

    with pytest.raises(Refused) as caught:
        await voice.adapter.authorise()

    assert caught.value.code is Code.PERMISSION_DENIED


async def test_each_upload_has_a_token_and_an_id_of_its_own(voice: Voice) -> None:
    """Both are good for one use."""
    first, second = await voice.adapter.upload(FILE), await voice.adapter.upload(FILE)

    await voice.adapter.apply(second)
    await voice.adapter.apply(first)

    assert first.file_id != second.file_id
    assert (voice.requests("token"), voice.requests("apply")) == (2, 2)
    assert voice.simulated.books.applied == {DIGEST: 2}


async def test_a_check_logs_in(voice: Voice) -> None:
    """`courier check` proves the credentials and asks for nothing."""
    await voice.adapter.check()

    assert [name for name, _ in voice.simulated.calls] == ["login"]
