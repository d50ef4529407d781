"""Plain HTTP on this machine.

Each client of httpx loads all authorities that there are, which takes longer than what is asked.
"""

import ssl
from collections.abc import Mapping
from typing import Final

import httpx

NO_AUTHORITY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def trusting(ca_file: str) -> ssl.SSLContext:
    """Trust this authority and no other."""
    return ssl.create_default_context(cafile=ca_file)


def visit(base_url: str, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base_url, headers=headers, verify=NO_AUTHORITY)


def get(url: str, timeout: float = 5.0) -> httpx.Response:
    return httpx.get(url, timeout=timeout, verify=NO_AUTHORITY)


def request(method: str, url: str, json: object) -> httpx.Response:
    return httpx.request(method, url, json=json, verify=NO_AUTHORITY)
