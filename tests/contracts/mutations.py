"""What may become of a contract, and what may not: tables for the compatibility gate.

Every row changes a schema of the version that was published last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from deploy.compatibility.rules import Rule
from deploy.compatibility.trees import Json

ACTIVATE: Final = "commands/activate-sms-license/v1"
APPLY: Final = "commands/apply-voice-license/v1"
QUERY: Final = "commands/query-devices/v1"
ACTIVATED: Final = "events/activate-sms-license.finished/v1"
SETTLED: Final = "events/activate-sms-license.settled/v1"
QUERIED: Final = "events/query-devices.finished/v1"
REJECTED: Final = "events/command.rejected/v1"
LOG: Final = "event-log/v1"

_GONE: Final = object()


@dataclass(frozen=True)
class Edit:
    """One change.

    Attributes:
        path: what is changed: a field and, after a colon, a keyword of it, such as
            `data/limit:maximum`; or without a colon a path through the file, where `data` is the
            payload's own schema.
        change: what becomes of it, None when it is not there yet.
    """

    path: str
    change: Callable[[Any], object]

    @property
    def steps(self) -> list[str]:
        field, colon, keyword = self.path.rpartition(":")
        fields = field.split("/") if colon else []
        steps = [step for each in fields for step in ("properties", each)] + keyword.split("/")
        if fields[:1] == ["data"]:
            steps[:2] = ["$defs", "data"]
        elif steps[0] == "data":
            steps[:1] = ["$defs", "data"]
        return [each for each in steps if each]

    def __call__(self, schema: Json) -> None:
        *above, last = (int(each) if each.isdigit() else each for each in self.steps)
        place: Any = schema
        for step in above:
            place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
        made = self.change(place.get(last) if isinstance(place, dict) else place[last])
        if made is _GONE:
            del place[last]
        else:
            place[last] = made


Edits: TypeAlias = list[Edit]


def put(path: str, value: object) -> Edit:
    return Edit(path, lambda _: value)


def drop(path: str) -> Edit:
    return Edit(path, lambda _: _GONE)


def more(path: str, *values: object) -> Edit:
    return Edit(path, lambda old: [*(old or ()), *values])


def less(path: str, value: object) -> Edit:
    return Edit(path, lambda old: [each for each in old if each != value])


def word(path: str, old: str, new: str) -> Edit:
    return Edit(f"{path}description", lambda text: text.replace(old, new))


def when(field: str, part: Json, then: Json) -> Json:
    return {"if": {"required": [field], "properties": {field: part}}, "then": then}


def only(field: str, part: Json) -> Json:
    return {"properties": {field: part}}


class Row(NamedTuple):
    contract: str
    path: str
    edits: Edits


def row(contract: str, path: str, *edits: Edit) -> Row:
    return Row(contract, path, list(edits))


_CODE: Final = "then/properties/error/properties/code/not/enum"
_TEXT: Final[Json] = {"description": "New.", "type": "string"}
_SUCCESS: Final[Json] = {"const": "succeeded"}
_POSITIVE: Final[Json] = {"minimum": 1}
_NULL: Final[Json] = {"type": "null"}

FORBIDDEN: Final[dict[Rule, list[Row]]] = {
    Rule.IDENTITY_CHANGED: [
        row(QUERY, "", put("$id", "urn:courier:message:commands:query:v1")),
        row(QUERY, "", put("$schema", "https://json-schema.org/draft/2019-09/schema")),
        row(QUERY, "/type", put("type:const", "courier.query.v1")),
        row(
            QUERIED, "/dataschema", put("dataschema:const", "urn:courier:contract:events:query:v1")
        ),
        row(
            ACTIVATED,
            "/data[conclusion=unknown]/effect",
            put("data/allOf/7/then/properties/effect/const", "none"),
        ),
    ],
    Rule.FIELD_REMOVED: [
        row(QUERY, "/data/search", drop("data/search:")),
        row(APPLY, "/data/file/sha256", drop("data/file/sha256:")),
        row(QUERY, "/tracestate", drop("tracestate:")),
        row(QUERIED, "/traceparent", drop("traceparent:")),
        row(QUERIED, "/data/total", drop("data/total:")),
        row(QUERIED, "/data/devices/*/mac", drop("data/$defs/device/properties/mac")),
        row(
            LOG,
            "[event=command-received]/waited_ms",
            drop("$defs/command-received/properties/waited_ms"),
        ),
    ],
    Rule.FIELD_CLAIMED: [row(QUERY, "/priority", put("priority:", {"type": "integer"}))],
    Rule.REQUIRED_ADDED: [
        row(QUERY, "/data/search", more("data/required", "search")),
        row(QUERY, "/time", more("required", "time")),
        row(ACTIVATE, "/data/site", put("data/site:", _TEXT), more("data/required", "site")),
        row(QUERIED, "/data/site", put("data/site:", _TEXT), more("data/required", "site")),
        row(QUERIED, "/traceparent", more("required", "traceparent")),
        row(
            QUERIED,
            "/data[conclusion=succeeded]/site",
            put("data/site:", _TEXT),
            more("data/allOf", when("conclusion", _SUCCESS, {"required": ["site"]})),
        ),
        row(
            LOG,
            "[event=command-received]/waited_ms",
            more("$defs/command-received/required", "waited_ms"),
        ),
    ],
    Rule.REQUIRED_DROPPED: [
        row(QUERIED, "/data/next", less("data/required", "next")),
        row(REJECTED, "/time", less("required", "time")),
        row(LOG, "[event=result-told]/event_id", less("$defs/result-told/required", "event_id")),
    ],
    Rule.TYPE_NARROWED: [
        row(QUERY, "/subject", put("subject:type", "string")),
        row(QUERY, "/data/limit", put("data/limit:type", "null")),
        row(QUERY, "/time", drop("time:anyOf/1")),
        row(QUERIED, "/data/total", put("data/total:type", "integer")),
    ],
    Rule.TYPE_WIDENED: [
        row(QUERIED, "/data/total", put("data/total:type", ["number", "null"])),
        row(QUERIED, "/data/appliance", put("data/appliance:type", ["string", "null"])),
        row(
            QUERIED,
            "/source",
            put("source:", {"anyOf": [{"$ref": "#/$defs/uri-reference"}, _NULL]}),
        ),
    ],
    Rule.ENUM_MEMBER_REMOVED: [
        row(QUERY, "/datacontenttype", less("datacontenttype:enum", None)),
        row(ACTIVATED, "/data/effect", less("data/effect:enum", "none")),
    ],
    Rule.ENUM_MEMBER_ADDED: [
        row(
            ACTIVATED,
            "/data/conclusion",
            more("data/conclusion:enum", "postponed"),
            word("data/conclusion:", "repeated.", "repeated; postponed: later."),
        ),
        row(
            LOG,
            "[event=command-finished]/level",
            more("$defs/command-finished/properties/level/enum", "debug"),
        ),
    ],
    Rule.ENUM_CLOSED: [
        row(QUERY, "/data/search", put("data/search:enum", ["00:00:5e"])),
        row(REJECTED, "/data/reason", put("data/reason:enum", ["not-json", "too-large"])),
    ],
    Rule.ENUM_OPENED: [
        row(
            QUERIED,
            "/data/conclusion",
            drop("data/conclusion:enum"),
            put("data/conclusion:type", "string"),
        ),
    ],
    Rule.ENUM_MEANING_CHANGED: [
        row(QUERY, "/datacontenttype", word("datacontenttype:", "means the same", "means XML")),
        row(
            QUERIED,
            "/data/conclusion",
            word("data/conclusion:", "done and nothing changed", "done"),
        ),
        row(
            SETTLED, "/data/verdict", word("data/verdict:", "do not send it again", "send it again")
        ),
        row(QUERIED, "/data/conclusion", word("data/conclusion:", "list.", "list. Mostly.")),
        row(
            APPLY,
            "/datacontenttype",
            more("datacontenttype:enum", "text/json"),
            word("datacontenttype:", "Absent means the same", "Absent means text/json"),
        ),
        row(LOG, "[event=session-closed]", word("$defs/session-closed/", "idle, ", "idle or ")),
    ],
    Rule.BOUND_NARROWED: [
        row(QUERY, "/data/limit", put("data/limit:maximum", 1000)),
        row(QUERY, "/data/limit", put("data/limit:minimum", 2)),
        row(QUERY, "/data/search", put("data/search:minLength", 2)),
        row(QUERY, "/correlationid", put("$defs/token/maxLength", 64)),
        row(QUERIED, "/data/devices", put("data/devices:maxItems", 10)),
    ],
    Rule.BOUND_WIDENED: [
        row(QUERIED, "/data/devices", drop("data/devices:maxItems")),
        row(QUERIED, "/data/start", put("data/$defs/count/minimum", -1)),
        row(QUERIED, "/time", put("$defs/timestamp/maxLength", 30)),
        row(
            ACTIVATED,
            "/data[effect=added]/added_sms",
            put("data/allOf/8/then/properties/added_sms/minimum", 0),
        ),
    ],
    Rule.PATTERN_CHANGED: [
        row(ACTIVATE, "/data/license", put("data/license:pattern", "^[A-Z0-9-]{24}$")),
        row(ACTIVATED, "/data/license", put("data/license:pattern", "^[*]{19}-[A-Za-z0-9]{4}$")),
        row(REJECTED, "/data/body_sha256", drop("data/body_sha256:pattern")),
    ],
    Rule.DEFAULT_CHANGED: [
        row(ACTIVATE, "/data/dry_run", put("data/dry_run:default", True)),
        row(QUERY, "/data/limit", drop("data/limit:default")),
        row(QUERY, "/data/search", put("data/search:default", "0")),
    ],
    Rule.OBJECT_CLOSED: [
        row(QUERY, "", put("additionalProperties", False)),
        row(QUERIED, "/data", put("data/additionalProperties", False)),
    ],
    Rule.OBJECT_OPENED: [
        row(ACTIVATE, "/data", drop("data/additionalProperties")),
        row(APPLY, "/data/file", put("data/file:additionalProperties", {"type": "string"})),
    ],
    Rule.CONDITION_CHANGED: [
        row(
            QUERY,
            "/data[search=...]/limit",
            more("data/allOf", when("search", {}, only("limit", {"maximum": 9}))),
        ),
        row(
            QUERY,
            "[shelf=...]/time",
            more("allOf", when("shelf", {}, only("time", _NULL))),
        ),
        row(
            QUERY,
            "[datacontenttype=text/json]/time",
            more("allOf", when("datacontenttype", {"const": "text/json"}, only("time", _NULL))),
        ),
        row(QUERY, "/data/search", put("data/search:not", {"const": "0"})),
        row(REJECTED, "/subject", drop("subject:not")),
        row(QUERIED, "/data[conclusion=succeeded]", drop("data/allOf/3")),
        row(
            QUERIED,
            "/data[conclusion=succeeded]/complete",
            drop("data/allOf/3/then/properties/complete"),
        ),
        row(
            QUERIED,
            "/data[conclusion=succeeded]/total",
            more("data/allOf", when("conclusion", _SUCCESS, only("total", _POSITIVE))),
        ),
        row(
            QUERIED,
            "/data[conclusion=succeeded|failed]/total",
            more(
                "data/allOf",
                when("conclusion", {"enum": ["succeeded", "failed"]}, only("total", _POSITIVE)),
            ),
        ),
        row(
            QUERIED,
            "/data[appliance=fvc-kanata]/total",
            more("data/allOf", when("appliance", {"const": "fvc-kanata"}, only("total", _NULL))),
        ),
        row(
            ACTIVATED,
            "/data[added_sms=5]/before",
            more("data/allOf", when("added_sms", {"const": 5}, only("before", _NULL))),
        ),
        row(QUERIED, "/data/next", more("data/allOf", only("next", _NULL))),
        row(
            QUERIED,
            "/data[conclusion=refused]/error/code",
            more(f"data/allOf/1/{_CODE}", "license-refused"),
        ),
        row(
            ACTIVATED,
            "/data[conclusion=unknown]/error/code",
            less(f"data/allOf/3/{_CODE}", "unreachable"),
        ),
        row(LOG, "[event=service-ready]", drop("allOf/1")),
    ],
    Rule.KEYWORD_CHANGED: [
        row(APPLY, "/data/file/content", put("data/file/content:contentEncoding", "base64url")),
        row(APPLY, "/data/file/content", drop("data/file/content:anyOf/0")),
        row(QUERY, "/data/limit", put("data/limit:multipleOf", 10)),
        row(QUERY, "/data", put("data/dependentRequired", {"start": ["limit"]})),
        row(QUERIED, "/data/started_at", drop("data/$defs/timestamp/format")),
        row(QUERIED, "/data/devices", put("data/devices:uniqueItems", True)),
    ],
}

ALLOWED: Final[dict[str, list[Edits]]] = {
    QUERY: [
        [put("data/shelf:", _TEXT)],
        [put("data/limit:maximum", 9000)],
        [put("data/limit:minimum", 0)],
        [put("data/start:type", ["integer", "null"])],
        [drop("data/search:maxLength")],
        [drop("data/search:pattern")],
        [drop("data/required")],
        [less("required", "source")],
        [put("shelf:", {"description": "Whatever it is, it is heeded."})],
        [word("data/limit:", "The most", "At most so many")],
        [put("data/title", "Which devices"), put("data/examples", [{"appliance": "x"}])],
        [more("time:anyOf", {"type": "integer"})],
        [
            more("datacontenttype:enum", "text/json"),
            word("datacontenttype:", "the same.", "the same; text/json: an alias."),
        ],
    ],
    ACTIVATE: [
        [
            put("data/shelf:", _TEXT),
            more("data/allOf", when("shelf", {}, only("dry_run", {"const": False}))),
        ],
        [
            drop("data/license:pattern"),
            put("data/license:$ref", "#/$defs/groups"),
            put("data/$defs/groups", {"pattern": "^[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){4}$"}),
        ],
        [put("source:", {"anyOf": [{"pattern": "^did:"}, {"$ref": "#/$defs/uri-reference"}]})],
    ],
    QUERIED: [
        [put("data/shelf:", _TEXT)],
        [put("shelf:", {"type": "string"})],
        [put("data/$defs/device/properties/shelf", {"type": ["object", "null"]})],
        [
            put("data/row:", {"type": ["object", "null"]}),
            more("data/allOf", when("conclusion", _SUCCESS, only("row", _NULL))),
        ],
        [
            put("data/cursor:", _TEXT),
            more("data/allOf", when("cursor", {}, only("next", _POSITIVE))),
        ],
        [
            more(f"data/allOf/1/{_CODE}", "asleep"),
            word("data/error/code:", "unreachable,", "unreachable, asleep,"),
        ],
        [Edit("data/allOf", lambda branches: branches[::-1])],
        [Edit("data/devices:", lambda field: dict(reversed(field.items())))],
        [word("data/conclusion:", "A closed list. ", "A  closed\nlist.\n")],
        [word("data/total:", "null when", "Null when")],
        [put("data/$defs/unused", _TEXT)],
        [
            put("data/attempts:", {"$ref": "#/$defs/number"}),
            put("data/$defs/number", {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}),
        ],
    ],
    LOG: [
        [
            put("shelf:", {"type": "integer"}),
            put("$defs/shelf-moved", {"properties": {"shelf": True}, "required": ["queue"]}),
            more("allOf", when("event", {"const": "shelf-moved"}, {"$ref": "#/$defs/shelf-moved"})),
        ],
        [put("$defs/command-received/properties/queue", True)],
    ],
}
