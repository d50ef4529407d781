"""What a stranger says is passed on, but for what may be a secret."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from service.messages.passthrough import MAX_BYTES, passed_on
from service.messages.wire import Json

SECRET_NAMES = [
    *("password", "adminPassword", "new_password", "PASSWD", "sip_pass", "pwd", "user-pin", "psk"),
    *("token", "fabricToken", "APSCOOKIE", "apiKey", "api_key", "licenseKey", "private", "secret"),
    *("session", "session_id", "Authorization", "authHash", "snmpCommunity", "magic_number"),
    *("credential", "Passphrase", "signature", "sipPIN", "sippass", "userpass", "adminpass"),
    *("vmpass", "sippwd", "authpwd", "adminpw", "bind_pw", "pw", "sessionid", "JSESSIONID", "sid"),
    *("privatekey", "presharedkey", "authkey", "enckey", "sshkey", "voicemailpin", "userpin"),
    *("communityname", "nonce", "otp", "ha1", "salt", "key", "PIN", "sessId", "x-auth-token"),
]
HARMLESS_NAMES = [
    *("mkey", "keyboard", "author", "pinging", "passive", "compass", "hashtag", "monkey", "model"),
    *("serial", "sessions_total", "total_sms", "unassigned", "objectID", "FabricWidget", "spine"),
    *("session_count", "auth_status", "password_policy", "token_type", "bypass", "license"),
    *("auth_mode", "password_expiry", "shipping", "mapping", "desktop", "side", "passenger"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", ["canary", 1234, ["canary"], {"inner": "canary"}, 1.5])
def test_a_field_that_is_named_like_a_secret_is_masked(name: str, value: object) -> None:
    """Whatever it holds, wherever it stands."""
    told: Any = passed_on({"deep": [{name: value}]})  # type: ignore[dict-item]  # any JSON
    assert {"deep": [{name: "***"}]} == told


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", ["", None, True, False])
def test_that_there_is_no_secret_is_no_secret(name: str, value: str | bool | None) -> None:
    """Empty, null and yes or no tell nothing that is worth hiding."""
    assert {name: value} == passed_on({name: value})


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_other_fields_come_as_they_are(name: str) -> None:
    """A word must be one of its own to count."""
    assert {name: "x"} == passed_on({name: "x"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("AB12-CD34-EF56-GH78-IJ90", "****-IJ90"),
        ("https://admin:canary@host/", "https://***@host/"),
        ("APSCookie=canary; path=/", "APSCookie=***; path=/"),
        ("Bearer canary", "Bearer ***"),
        ("Réception", "Réception"),
        ("password=canary&x=1", "password=***&x=1"),
        ("the password: canary", "the password: ***"),
        ("access_token=canary", "access_token=***"),
        ("X-Auth-Token: canary", "X-Auth-Token: ***"),
        ("pin=1234, ping=12", "pin=***, ping=12"),
        ("set password ENC canary", "set password *** canary"),
        ("ENC canary=", "ENC ***"),
        ("sip:6006:canary@host", "sip:6006:***@host"),
        ("-----BEGIN RSA PRIVATE KEY-----\nc\n-----END RSA PRIVATE KEY-----", "***"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
        ('{"password": "canary", "a": [1]}', '{"password": "***", "a": [1]}'),
        ('{"a":  [1]}', '{"a":  [1]}'),
        ("{no json", "{no json"),
        ("\ud800", "?"),
    ],
)
def test_a_text_is_masked_by_its_form(text: str, told: str) -> None:
    """A licence, an address with a password, a cookie; and no text that nobody can write."""
    assert {"note": told, "list": [told]} == passed_on({"note": text, "list": [text]})


@pytest.mark.parametrize("name", ["name", "key", "field", "id", "parameter"])
def test_a_pair_of_name_and_value_is_masked_by_the_name(name: str) -> None:
    """The name is told: it says what is not."""
    assert {name: "sip_password", "value": "***"} == passed_on(
        {name: "sip_password", "value": "canary"}
    )
    assert {name: "hostname", "value": "fvc"} == passed_on({name: "hostname", "value": "fvc"})


def test_what_is_kept_by_session_is_not_told() -> None:
    """Its ids are the keys; how many there are is a figure."""
    assert {"sessions": "***"} == passed_on({"sessions": {"canary": {"user": "admin"}}})
    assert {"sessions": 12, "keys": 3} == passed_on({"sessions": 12, "keys": 3})


def test_a_long_text_is_looked_through_in_time() -> None:
    """Whatever it is made of."""
    for piece in ("a-", "set ", "password", "sip:", "ENC ", "{", "-----BEGIN PRIVATE KEY-----"):
        began = time.process_time()
        passed_on((piece * MAX_BYTES)[: MAX_BYTES // 2])
        assert time.process_time() - began < 2


def test_the_names_of_fields_are_looked_at_as_well() -> None:
    """Somebody may use a licence as a key."""
    assert {"****-IJ90": 1} == passed_on({"AB12-CD34-EF56-GH78-IJ90": 1})


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", [], {}, [[{}]]])
def test_any_json_is_passed_on(value: Json) -> None:
    """It need not be an object."""
    assert value == passed_on(value)


def test_what_is_too_large_is_not_passed_on() -> None:
    """The limit is on the JSON that is told, to the byte."""
    fitting = "x" * (MAX_BYTES - 2)
    assert fitting == passed_on(fitting)
    with pytest.raises(ValueError, match="larger than 131072 bytes"):
        passed_on(fitting + "x")


def test_what_is_nested_too_deeply_is_not_passed_on() -> None:
    """Readers have limits, too."""
    with pytest.raises(ValueError, match="nested too deeply"):
        passed_on(from_json("[" * 40 + "]" * 40))
    assert passed_on(from_json("[" * 30 + "]" * 30))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_whatever_is_passed_on_can_be_written(value: Json) -> None:
    """No JSON that an appliance can send makes an event that cannot be told."""
    told = passed_on(value)
    assert from_json(to_json(told)) == told
