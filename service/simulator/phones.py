"""FortiVoice's phones: the seven of the vendor's guide, then our own, and how a list shows them.

"[S]" is the FortiVoice 6.4.0 REST API Reference Guide; the spacing of its samples is kept, the line
breaks of its typesetting (which split words) are not.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

Row = dict[str, str | int]

MOST: Final = 2**24
"""Phones that a list can have."""


def phone(index: int) -> Row:
    """Return a row of the phone list: the seven of [S] "Resource: DeviceSip_phone", then our own.

    The same index is the same phone in every run; no two below ``MOST`` share a MAC address.
    """
    if index < len(_SAMPLES):
        return _SAMPLES[index]
    place = f"{index & 0xFFFFFF:06x}"
    mac = f"70:4c:a5:{place[:2]}:{place[2:4]}:{place[4:]}"
    kind = ("FortiFone-375", "FortiFone-550i\\560i", "FortiFone-175")[index % 3]
    if index % 4 == 0:
        return _row(mac, kind, description=f"Stock {index}", unassigned=2)
    ip = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
    info = f"Fortinet {kind} 2.4.0.5672 704ca5{place}"
    return _row(mac, kind, **_registered(f"Desk {index}", str(10_000 + index), ip, info))


@lru_cache(maxsize=20_000)
def phone_text(index: int, *, filtered: bool) -> str:
    """Return a row as the list shows it: filtered lists are laid out, the full one is not."""
    row = phone(index)
    if filtered:
        return "    {\n      " + _dumps(row, ",\n      ")[1:-1] + "\n    }"
    text = _dumps(row)
    return text.replace(', "phone_type"', ',"phone_type"', 1).replace(', "name"', ',"name"', 1)


def listed(rows: range | list[int], total: int, *, more: bool, filtered: bool) -> str:
    r"""Return the phone list ([S] "Resource: DeviceSip_phone", its three outputs).

    The unfiltered one is **invalid JSON** as in the guide: the backslash of
    ``FortiFone-550i\560i`` stands alone there, and is doubled in the filtered ones.
    """
    texts = [phone_text(index, filtered=filtered) for index in rows]
    promise = "true" if more else "false"
    if filtered:
        collection = "[\n" + ",\n".join(texts) + "\n  ]" if texts else "[]"
        return (
            '{\n  "objectID": "DeviceSip_phoneCollection:{D:system}",\n  "reqAction": 1,\n'
            f'  "totalRemoteCount": {total},\n  "subCount": {len(texts)},\n'
            f'  "remoteSorting": true,\n  "nextPage": {promise},\n  "nodePermission": 3,\n'
            f'  "collection": {collection}\n}}'
        )
    rows_text = ",\n".join(texts).replace("\\\\", "\\")
    return (
        '{"objectID": "DeviceSip_phoneCollection:{D:system}", "reqAction": 1,'
        f' "totalRemoteCount": {total},"subCount": {len(texts)},"remoteSorting": true,'
        f'"nextPage": {promise},"nodePermission": 3,"collection": [\n{rows_text}\n]\n}}'
    )


def _row(mac: str, kind: str, **filled: str | int) -> Row:
    """Return a row: what is not ``filled`` is empty, which the guide writes as ``""`` and 0."""
    row: Row = {
        "mkey": mac,
        "phone_type": kind,
        "name": "",
        "multicell_device": "",
        "description": "",
        "unassigned": 1,
        "phone_profile": f"Default-{kind}",
        "associated_display_name": "",
        "associated_number": "",
        "associated_id": "",
        "device_ip": "",
        "phone_info": "",
        "associated_role": 0,
        "softclient_license": 0,
        "registration_status": 0,
        "last_register": "",
        "expiration": "",
        "unregister_cause": 0,
        "failure_code": 0,
    }
    return row | filled


def _registered(name: str, number: str, ip: str, info: str) -> Row:
    """Return what a phone in use has filled in."""
    return {
        "associated_display_name": name,
        "associated_number": number,
        "associated_id": number,
        "device_ip": ip,
        "phone_info": info,
        "associated_role": 1,
        "registration_status": 1,
        "last_register": "2020-06-12 13:54:27",
        "expiration": "2020-06-12 14:54:27",
    }


_KANATA: Final = _registered(
    "Kanata", "6006", "192.168.2.35", "Fortinet FortiFone FON-175 2.4.0.5672 704ca5cebbfc"
)
_SAMPLES: Final = (
    _row("b4:0e:dc:bd:f4:bd", "FortiFone-550i\\560i"),
    _row("00:15:65:83:cb:12", "FortiFone-470i"),
    _row("00:1a:7e:a7:e7:9e", "FortiFone-550i\\560i"),
    _row("b4:0e:dc:bd:f4:ff", "FortiFone-550i\\560i", description="FakePhone", unassigned=2),
    _row("70:4c:a5:ce:bb:fc", "FortiFone-175", **_KANATA),
    _row("e8:1c:ba:0f:86:7d", "FortiFone-375"),
    _row("e8:1c:ba:0f:86:7b", "FortiFone-375", name="e81cba0f867b", unassigned=2),
)


def _dumps(value: object, separator: str = ", ") -> str:
    return json.dumps(value, ensure_ascii=False, separators=(separator, ": "))
