from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from service.simulator import FortiVoice
from service.simulator import samples as vendor

if TYPE_CHECKING:
    from tests.appliances.simulator.driving import Voice


async def test_a_login_answers_with_the_guides_keys_and_echoes_the_password(
    voice: Voice, fvc: FortiVoice
) -> None:
    """The login answer is the guide's, with the name and the password that were sent."""
    answer = await voice.login()

    assert answer.status_code == 200
    assert re.sub('[a-z]{2}"}$', 'ce"}', answer.text) == (
        '{"objectID": "VoiceadminLogin:{D:system}", "reqAction": 2, "nodePermission": 3, "name": '
        f'"admin", "password": "{fvc.password}", "new_password": "*****", "token": "*****", '
        '"vpbx": true, "role": 2, "license": 0, "is_superadmin": true, "webmode": 0, "locale": '
        '"en", "loginstatus": 1, "model": "FO4000", "serial": "FO4000YYZRD00006", "theme": 3, '
        '"debug": true, "product_name": "FortiVoice", "product_version": "6.4.306", '
        '"disclaimer_enable": false, "scramble": true, "disclaimer": "", "gateway_status": false, '
        '"departments": "", "userportal_status": true, "operator_console_status": true, '
        '"lsg_status": true, "localsurvival_mode": 0, "business_group_status": true, '
        '"minimum_length": 8, "survivability_centralstatus": true, "magic_number": "ce"}'
    )


async def test_the_cookie_has_the_guides_shape_and_is_new_for_each_session(voice: Voice) -> None:
    """Base64 in lines of 64, percent-encoded with its line feeds."""
    first = (await voice.login()).headers["Set-Cookie"]
    second = (await voice.login()).headers["Set-Cookie"]

    shape = r"APSCookie=Era=1&Payload=(.{64}\n){2}.{24}\n&AuthHash=.{22}==\n;"
    assert re.fullmatch(shape, unquote(first))
    assert first.count("%0A") == 4
    assert first != second


async def test_a_login_is_answered_with_and_without_the_slash(
    voice: Voice, fvc: FortiVoice
) -> None:
    """The guide shows both spellings."""
    assert (await voice.login("VoiceadminLogin/")).status_code == 200
    assert (await voice.login("VoiceadminLogin")).status_code == 200
    assert fvc.books.logins == 2
    assert (fvc.books.sessions_open, fvc.books.sessions_peak) == (2, 2)


@pytest.mark.parametrize("wrong", [{"name": "Admin"}, {"password": "guess"}])
async def test_a_wrong_login_is_403_and_opens_nothing(
    voice: Voice, fvc: FortiVoice, wrong: dict[str, object]
) -> None:
    """Refused credentials get the sibling product's envelope and no cookie."""
    answer = await voice.login(**wrong)

    assert (answer.status_code, answer.text) == (403, vendor.LOGIN_REFUSED)
    assert answer.json()["errorType"] == 7
    assert "Set-Cookie" not in answer.headers
    assert (fvc.books.logins, fvc.books.refused_logins) == (0, 1)


async def test_a_rotated_password_replaces_the_old_one_and_ends_no_session(
    voice: Voice, fvc: FortiVoice
) -> None:
    """Only the newest password opens sessions; those that are open stay."""
    await voice.login()
    old, fvc.password = fvc.password, "new"

    assert (await voice.devices()).status_code == 200
    assert (await voice.login(password=old)).status_code == 403
    assert (await voice.login()).status_code == 200


async def test_a_login_has_the_two_documented_fields_as_json(voice: Voice) -> None:
    """A login with more, less or other content is 400."""
    right = {"name": "admin", "password": voice.appliance.password}

    assert (await voice.login(reqAction=2)).status_code == 400
    assert (await voice.send("POST", "VoiceadminLogin", json=[right])).status_code == 400
    assert (await voice.send("POST", "VoiceadminLogin", content=b"{")).status_code == 400
    assert (await voice.send("POST", "VoiceadminLogin", data=right)).status_code == 400


async def test_without_a_session_every_operation_is_403_with_a_json_body(voice: Voice) -> None:
    """No operation but the login works without a valid cookie."""
    answers = [
        await voice.devices(),
        await voice.token(),
        await voice.upload("token"),
        await voice.apply("license_abcdef"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert {answer.json()["errorType"] for answer in answers} == {7}


async def test_the_cookie_counts_byte_for_byte(voice: Voice) -> None:
    """A cookie that was decoded, or has another name or case, is no session."""
    await voice.login()
    right = voice.cookie
    for wrong in (right.replace("%0A", ""), right.replace("APSC", "apsc"), right.lower(), "x"):
        voice.cookie = wrong
        assert (await voice.devices()).status_code == 403

    voice.cookie = f"theme=3; {right}"
    assert (await voice.devices()).status_code == 200


async def test_the_cookies_name_and_attributes_can_be_switched(
    voice: Voice, fvc: FortiVoice
) -> None:
    """Other firmware names the cookie differently."""
    fvc.cookie_name, fvc.cookie_attributes = "APSCOOKIE_0a_RESTFUL", "; Path=/; Secure"

    answer = await voice.login()

    assert answer.headers["Set-Cookie"].startswith("APSCOOKIE_0a_RESTFUL=Era%3D1")
    assert answer.headers["Set-Cookie"].endswith("%0A; Path=/; Secure")


async def test_expired_sessions_are_worth_nothing(voice: Voice, fvc: FortiVoice) -> None:
    """After expiry the old cookie is 403 and a new login works."""
    await voice.login()

    assert fvc.expire_sessions() == 1
    assert (await voice.devices()).status_code == 403
    assert fvc.books.sessions_open == 0
    assert fvc.books.sessions_ended == {"expired": 1}
    assert (await voice.login()).status_code == 200


async def test_a_logout_exists_only_when_switched_on(voice: Voice, fvc: FortiVoice) -> None:
    """The guide documents no logout; a switch gives one a path."""
    await voice.login()
    assert (await voice.send("POST", "VoiceadminLogout")).status_code == 404

    fvc.logout_path = "/api/v1/VoiceadminLogout"
    assert (await voice.send("POST", "VoiceadminLogout")).status_code == 200
    assert (await voice.devices()).status_code == 403
    assert fvc.books.sessions_ended == {"logout": 1}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "devicesip_phone", 404),
        ("GET", "DeviceSip_phone/", 404),
        ("POST", "uploadfile", 404),
        ("PUT", "SysStatusLicinfo/", 404),
        ("GET", "FabricWidgets", 404),
        ("GET", "VoiceadminLogin", 405),
        ("POST", "DeviceSip_phone", 405),
        ("POST", "FabricWidget", 405),
        ("GET", "SysStatusLicinfo", 405),
        ("DELETE", "SysStatusLicinfo", 405),
    ],
)
async def test_paths_and_methods_are_exactly_the_guides(
    voice: Voice, method: str, path: str, status: int
) -> None:
    """Another case or slash is 404, another method 405."""
    await voice.login()

    answer = await voice.send(method, path)

    assert answer.status_code == status
    assert answer.json()["errorType"] == (3 if status == 404 else 1)
