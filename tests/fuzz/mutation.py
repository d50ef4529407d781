"""Mutations: of the tree that a message is, and of its bytes. Equal dice make equal messages."""

import gzip
import random
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from tests.fuzz import trees
from tests.fuzz.trees import Node, Raw

Change: TypeAlias = Callable[[random.Random, Node, Sequence[Node]], Node]

MAX_BYTES: Final = 2 * 1024 * 1024
TEXTS: Final = (
    *("", " ", "\x00", "a\x00b", "\ufeff", "\ud800", "\udfff\ud800", "\u202e", "\U0001f4a9"),
    *("null", "true", "0", "NaN", "{}", "[]", "../..", "${jndi}", "%s%n", "'; --", "<script>"),
    *("A" * 64, "A" * 129, "9" * 400, "é" * 100, "a" * 5000, "__proto__", "\n", "\r\n", "\u2028"),
    *(
        "2026-02-30T00:00:00Z",
        "2026-03-04T24:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
    ),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2016-12-31T23:59:60.999999999Z"),
    *("00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff-" + "f" * 32 + "-" + "f" * 16 + "-ff"),
    *(
        "courier.activate-sms-license.v2",
        "courier..v1",
        "courier.query-devices.v1",
        "application/json",
    ),
    *(
        "fac-1",
        "fvc-1",
        "ABCD-EFGH",
        "AAAA",
        "QUJD\n",
        "QQ==",
        "QR==",
        "====",
        "-",
        ".lic",
        "a.lic",
    ),
)
NUMBERS: Final = (
    *("0", "-0", "1", "-1", "500", "5000", "5001", "9007199254740991", "9007199254740992"),
    *("9007199254740993", "1e400", "-1e400", "1E-400", "1.0", "5e2", "0.1", "1e999999999"),
    *("9" * 300, "9" * 4300, "9" * 4301, "-" + "9" * 5000, "1" + "0" * 20000, "0x10", "01", "+1"),
    *(
        "1.",
        ".5",
        "NaN",
        "Infinity",
        "-Infinity",
        "1_0",
        "\u0661",
        "tru",
        "nul",
        "None",
        "undefined",
    ),
)
_BYTES: Final = (
    *(
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf5\x80\x80\x80",
        b"\x1a",
    ),
    *(
        b'"',
        b"\\",
        b"\\u",
        b"\\ud83d",
        b"\\x00",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"//",
        b"/**/",
    ),
    *(
        b"'",
        b"\n",
        b"\r",
        b"\t",
        b"\x0b",
        b"\x85",
        b"\xa0",
        b"1e9",
        b"NaN",
        b"null",
        b'"dry_run":true,',
    ),
)
_KEYS: Final = (
    *(
        "id",
        "source",
        "type",
        "specversion",
        "data",
        "data_base64",
        "dry_run",
        "license",
        "appliance",
    ),
    *(
        "file",
        "name",
        "content",
        "sha256",
        "limit",
        "start",
        "stream",
        "search",
        "resources",
        "time",
    ),
    *(
        "expirytime",
        "correlationid",
        "traceparent",
        "datacontenttype",
        "dryrun",
        "DATA",
        "",
        "\x00",
    ),
    *("__class__", "a/b", "a~b", "[x]", "\ud800", "$ref", '"\\u0064ata"', '"\\u0064ry_run"'),
)


CONTAINERS: Final[tuple[Node, ...]] = ([], (), [[]], [None] * 30, (("x", 1),))
VALUES: Final[tuple[Callable[[random.Random], Node], ...]] = (
    lambda dice: dice.choice(TEXTS),
    lambda dice: dice.choice(TEXTS),
    lambda dice: Raw(dice.choice(NUMBERS)),
    lambda dice: dice.choice((None, True, False)),
    lambda dice: dice.choice((0, 1, -1, 2**53, 5000, 2**64, 0.5, -0.0)),
    lambda dice: dice.choice(CONTAINERS),
    lambda dice: "".join(chr(dice.randrange(1, 0x3000)) for _ in range(dice.randrange(1, 40))),
)


def _value(dice: random.Random) -> Node:
    return dice.choice(VALUES)(dice)


def _replace(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    return trees.put(node, dice.choice(trees.places(node)[1:] or [()]), _value(dice))


def _drop(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    return _in_an_object(dice, node, lambda pairs, at: pairs[:at] + pairs[at + 1 :])


def _double(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    value = _value(dice)
    again = dice.random() < 0.5
    return _in_an_object(
        dice, node, lambda pairs, at: [*pairs, (pairs[at][0], pairs[at][1] if again else value)]
    )


def _add(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    pair = dice.choice(_KEYS), _value(dice)
    return _in_an_object(dice, node, lambda pairs, at: [*pairs[:at], pair, *pairs[at:]])


def _rename(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    kind = dice.randrange(4)

    def named(name: str) -> str:
        changed = (name.upper(), name + " ", name[:-1], '"' + _escaped(name) + '"')[kind]
        return changed if not name.startswith('"') else name

    return _in_an_object(
        dice, node, lambda p, at: [*p[:at], (named(p[at][0]), p[at][1]), *p[at + 1 :]]
    )


def _escaped(name: str) -> str:
    return "".join(f"\\u{ord(each) & 0xFFFF:04x}" for each in name)


def _in_an_object(
    dice: random.Random,
    node: Node,
    change: Callable[[list[tuple[str, Node]], int], list[tuple[str, Node]]],
) -> Node:
    objects = [
        path
        for path in trees.places(node)
        if isinstance(found := trees.at(node, path), tuple) and found
    ]
    if not objects:
        return node
    path = dice.choice(objects)
    pairs = trees.at(node, path)
    if not isinstance(pairs, tuple):
        return node
    return trees.put(node, path, tuple(change(list(pairs), dice.randrange(len(pairs)))))


def _wrap(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    path = dice.choice(trees.places(node))
    inside = trees.at(node, path)
    wrapped: Node = [inside] if dice.random() < 0.5 else (("data", inside),)
    return trees.put(node, path, wrapped)


def _bury(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    depth = dice.choice(
        (10, 100, 900, 1000, 1100, 5000, 100_000) if dice.random() < 0.2 else (10, 200)
    )
    open_, close = dice.choice((("[", "]"), ('{"a":', "}")))
    raw = Raw(open_ * depth + "1" + close * dice.choice((depth, depth, depth - 1)))
    return trees.put(node, dice.choice(trees.places(node)), raw)


def _graft(dice: random.Random, node: Node, others: Sequence[Node]) -> Node:
    other = dice.choice(others)
    value = trees.at(other, dice.choice(trees.places(other)))
    return trees.put(node, dice.choice(trees.places(node)[1:] or [()]), value)


def _stretch(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    long = dice.choice((200, 256, 4096) if dice.random() < 0.97 else (65_536, 1_400_000, MAX_BYTES))
    return trees.put(
        node, dice.choice(trees.places(node)[1:] or [()]), dice.choice("A9=\u0101") * long
    )


def _text(dice: random.Random, node: Node, _: Sequence[Node]) -> Node:
    """Change a text a little, so that it is nearly right."""
    texts = [path for path in trees.places(node) if isinstance(trees.at(node, path), str)]
    if not texts:
        return node
    path = dice.choice(texts)
    old = str(trees.at(node, path))
    at = dice.randrange(len(old) + 1)
    token = dice.choice(("", "\n", "\x00", "-", "=", "A", " ", "é", "\ud800", old, "/", old[:3]))
    return trees.put(node, path, old[:at] + token + old[at + dice.randrange(3) :])


CHANGES: Final[tuple[Change, ...]] = (
    *(_replace, _replace, _text, _text, _text, _add, _drop, _double, _rename),
    *(_wrap, _graft, _stretch, _bury),
)


Tear: TypeAlias = Callable[[random.Random, bytes, int], bytes]


def _flip(dice: random.Random, body: bytes, _: int) -> bytes:
    flipped = bytearray(body or b"x")
    for _ in range(dice.choice((1, 1, 2, 8))):
        flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
    return bytes(flipped)


def _recoded(dice: random.Random, body: bytes, _: int) -> bytes:
    kind = dice.randrange(12)
    if kind == 0:
        return gzip.compress(body, mtime=0)
    if kind == 1:
        codec = dice.choice(("utf-16", "utf-32", "utf-16-le", "utf-7"))
        return body.decode("utf-8", "replace").encode(codec, "replace")
    if kind <= 3:
        return dice.choice((*_BYTES[:3], b" ", b" " * 1000)) + body
    return body + dice.choice(_BYTES)


TEARS: Final[tuple[Tear, ...]] = (
    _flip,
    lambda _, body, at: body[:at],
    lambda dice, body, at: body[:at] + dice.choice(_BYTES) + body[at:],
    lambda dice, body, at: body[:at] + body[at + dice.randrange(1, 9) :],
    lambda dice, body, at: body[:at] + body[max(0, at - dice.randrange(1, 40)) :],
    lambda dice, body, at: body[:at] + dice.randbytes(dice.randrange(1, 20)) + body[at + 1 :],
    _recoded,
    _recoded,
)


def mutated(dice: random.Random, corpus: Sequence[Node]) -> bytes:
    """Make one message."""
    node = dice.choice(corpus)
    for _ in range(dice.choice((0, 1, 1, 1, 1, 2, 2, 3, 5))):
        node = dice.choice(CHANGES)(dice, node, corpus)
    text = trees.text_of(node, ascii_only=dice.random() < 0.7)
    body = text.encode("utf-8", "surrogatepass")
    for _ in range(dice.choice((0, 0, 0, 0, 0, 1, 1, 2, 4))):
        at = dice.randrange(len(body) + 1)
        if dice.random() < 0.1:
            other = trees.text_of(dice.choice(corpus)).encode()
            body = body[:at] + other[dice.randrange(len(other)) :]
        else:
            body = dice.choice(TEARS)(dice, body, at)
    return body[: MAX_BYTES + 100]
