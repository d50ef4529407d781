from __future__ import annotations

import re

import pytest

from service.simulator import FortiVoice, Upload
from tests.appliances.simulator.driving import FILE, FILE_DIGEST, Voice


@pytest.fixture(autouse=True)
async def session(voice: Voice) -> None:
    await voice.login()


async def test_the_three_steps_answer_as_the_guide_shows(voice: Voice, fvc: FortiVoice) -> None:
    """Token, upload and apply end with the file applied once, its bytes unchanged."""
    token = await voice.token()
    upload = await voice.upload(token.json()["token"])
    applied = await voice.apply(upload.json()["id"])

    assert re.fullmatch(r'\{"token":"[0-9a-f]{32}M500"\}', token.text)
    assert re.fullmatch(r'\{"id": "license_[A-Za-z0-9]{6}"\}', upload.text)
    assert applied.text == (
        '{"objectID": "SysStatusLicinfo:{D:system}", "reqAction": 5, "nodePermission": 3, '
        '"vm_lic_file": ""}'
    )
    assert fvc.books.uploads == [Upload("a.lic", len(FILE), FILE_DIGEST)]
    assert fvc.books.applied == {FILE_DIGEST: 1}


@pytest.mark.parametrize(
    "body", [{"reqAction": "22"}, {"reqAction": 22.0}, {"reqAction": 3}, {"reqAction": 22, "a": 1}]
)
async def test_a_token_is_asked_for_with_the_number_22(
    voice: Voice, body: dict[str, object]
) -> None:
    """Another action, or the same as a string, is 400."""
    assert (await voice.token(body)).status_code == 400


@pytest.mark.parametrize("action", [5, "3", 3])
async def test_a_file_is_applied_with_the_string_5(
    voice: Voice, fvc: FortiVoice, action: object
) -> None:
    """Another action, or the same as a number, is 400 and applies nothing."""
    file_id = await voice.uploaded()

    assert (await voice.apply(file_id, action)).status_code == 400
    assert fvc.books.applied == {}
    assert (await voice.apply(file_id)).status_code == 200


async def test_a_token_is_good_for_one_upload(voice: Voice) -> None:
    """A used token is 403."""
    token = (await voice.token()).json()["token"]

    assert (await voice.upload(token)).status_code == 200
    assert (await voice.upload(token)).status_code == 403


async def test_a_file_id_is_good_for_one_apply(voice: Voice, fvc: FortiVoice) -> None:
    """A used id, an unknown one and one that is no string are 400, as not found."""
    file_id = await voice.uploaded()

    statuses = [(await voice.apply(each)).status_code for each in (file_id, file_id, "x", None)]

    assert statuses == [200, 400, 400, 400]
    assert fvc.books.applied == {FILE_DIGEST: 1}


async def test_tokens_and_file_ids_belong_to_their_session(voice: Voice) -> None:
    """What one session was given is worth nothing in another."""
    token = (await voice.token()).json()["token"]
    file_id = await voice.uploaded()
    await voice.login()

    assert (await voice.upload(token)).status_code == 403
    assert (await voice.apply(file_id)).status_code == 400


async def test_an_upload_has_the_file_first_and_then_the_token(voice: Voice) -> None:
    """Fields in another order, under other names or without a file name are 400."""
    token = (await voice.token()).json()["token"]
    file, field = ("license", ("a.lic", FILE)), ("token", (None, token))
    orders: list[list[tuple[str, tuple[str | None, str | bytes]]]] = [
        [field, file],
        [file],
        [file, field, field],
        [("file", ("a.lic", FILE)), field],
        [("license", (None, FILE)), field],
        [("license", ("a.lic", b"")), field],
    ]
    for order in orders:
        assert (await voice.send("POST", "uploadfile/", files=order)).status_code == 400
    assert (await voice.upload(token)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"junk\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nno blank line\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nX-Name: x\r\n\r\n1\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="lic'),
    ],
)
async def test_an_upload_that_is_no_form_is_400(voice: Voice, kind: str, body: bytes) -> None:
    """A form must be well-formed to its last boundary."""
    answer = await voice.http.post(
        f"{voice.appliance.url}/api/v1/uploadfile/",
        content=body,
        headers={"Content-Type": kind, "Cookie": voice.cookie},
    )

    assert answer.status_code == 400
