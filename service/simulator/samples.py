"""The bytes that the vendor's documents show, and what fills them in.

"[S]" is the FortiVoice 6.4.0 REST API Reference Guide; the spacing of its samples is kept, the line
breaks of its typesetting (which split words) are not. "[P]" marks what appliances.md takes from the
public sources on sibling products, because the guide shows no error body.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
from typing import Final
from urllib.parse import quote


def login(name: str, password: str, serial: str) -> str:
    """Return the login answer, password echoed ([S] "Resource: VoiceadminLogin", "Output")."""
    return json.dumps(
        {
            "objectID": "VoiceadminLogin:{D:system}",
            "reqAction": 2,
            "nodePermission": 3,
            "name": name,
            "password": password,
            "new_password": "*****",
            "token": "*****",
            "vpbx": True,
            "role": 2,
            "license": 0,
            "is_superadmin": True,
            "webmode": 0,
            "locale": "en",
            "loginstatus": 1,
            "model": "FO4000",
            "serial": serial,
            "theme": 3,
            "debug": True,
            "product_name": "FortiVoice",
            "product_version": "6.4.306",
            "disclaimer_enable": False,
            "scramble": True,
            "disclaimer": "",
            "gateway_status": False,
            "departments": "",
            "userportal_status": True,
            "operator_console_status": True,
            "lsg_status": True,
            "localsurvival_mode": 0,
            "business_group_status": True,
            "minimum_length": 8,
            "survivability_centralstatus": True,
            "magic_number": "".join(secrets.choice(string.ascii_lowercase) for _ in range(2)),
        },
        ensure_ascii=False,
    )


def cookie_value() -> str:
    """Return a new session's cookie value ([S] "Resource: VoiceadminLogin", below "Output").

    Base64 in lines of 64, each ended by a line feed, percent-encoded as a whole: hence its ``%0A``.
    """
    encoded = base64.b64encode(secrets.token_bytes(112)).decode()
    payload = "".join(f"{encoded[at : at + 64]}\n" for at in range(0, len(encoded), 64))
    proof = base64.b64encode(secrets.token_bytes(16)).decode() + "\n"
    return quote(f"Era=1&Payload={payload}&AuthHash={proof}", safe="")


def upload_token() -> str:
    """Return a new upload token ([S] "Getting the upload authorization token")."""
    return f"{secrets.token_hex(16)}M500"


def file_id() -> str:
    """Return a new file id ([S] "Uploading a file with the authorization token ...")."""
    letters = string.ascii_letters + string.digits
    return "license_" + "".join(secrets.choice(letters) for _ in range(6))


def fabric(name: str, serial: str, password: str, token: str) -> str:
    """Return a Fabric resource. [S] shows none: this one is invented, and holds secrets."""
    figures = {"cpu": 7, "memory": 41, "calls": [{"from": "6006", "to": "6007", "seconds": 12}]}
    proof = {"token": token, "adminPassword": password}
    body = {"objectID": f"{name}:{{D:system}}", "reqAction": 1, "serial": serial}
    return json.dumps(body | {"version": "6.4.306", "figures": figures, "fabric": proof})


APPLIED: Final = (
    '{"objectID": "SysStatusLicinfo:{D:system}", "reqAction": 5, "nodePermission": 3,'
    ' "vm_lic_file": ""}'
)
"""The apply answer ([S] "Applying the uploaded file with file ID ...")."""

LOGIN_REFUSED: Final = (
    '{"errorType":7,"errorMsg":"Failed: Access denied:Add object (AdminLogin) ","reqAction":2,'
    '"totalRemoteCount":0,"collection":"[]"}'
)
"""A refused login, as the sibling product answers [P]."""


NOT_FOUND_PAGE: Final = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n'
    "  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>\n"
    "</body>\n</html>\n"
)
"""Django's page for an unknown path; the FortiAuthenticator guide shows none."""


def refusal(error_type: int, message: str, action: int) -> str:
    """Return an error body: [S] shows none, so it has the shape of ``LOGIN_REFUSED`` [P]."""
    body = {"errorType": error_type, "errorMsg": f"Failed: {message}", "reqAction": action}
    empty = {"totalRemoteCount": 0, "collection": "[]"}
    return json.dumps(body | empty, separators=(",", ":"))
