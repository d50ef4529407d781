"""Looks for secrets in what was told: in logs, events, pages, errors and the `repr` of objects.

Nothing here imports the service. A careless line seldom holds a secret as it is: it holds the repr
of it, or the JSON, the base64 or the beginning. So each is looked for in all of these spellings, by
its beginning and its end.
"""

import base64
import gc
import json
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus, unquote

import pytest

Told: TypeAlias = tuple[str, str]
"""Where something was told, and the text."""

FIXED: Final = ("canary", "hunter2")
"""Words that stand for secrets in all tests."""
LICENCE: Final = re.compile(r"[A-Z0-9]{4}(?:-[A-Z0-9]{4}){4}(?![A-Z0-9])", re.IGNORECASE)
_FORMS: Final = (
    ("a whole licence", LICENCE),
    ("credentials in an address", re.compile(r"://[^\s/:@*]*:[^\s/@*]+@")),
    ("a session's cookie", re.compile(r"APSCookie\w*=(?!\*\*\*)", re.IGNORECASE)),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
)
"""What is a secret by its form, whoever it belongs to."""
_FILE: Final = re.compile(rb'"content":\s*"([A-Za-z0-9+/=]{1,64})')
_GRAM: Final = 6
"""Characters by which a secret is found; one that is shorter would be found by chance."""
_TEXT: Final = 12
"""The same for the bytes of a file as text: they may be plain words."""
_END: Final = 16
"""Characters of the beginning and of the end that are looked for: a careless line may be cut."""
_SAMPLE: Final = 100
"""Objects of one class whose `repr` is taken; they are all alike."""


class Canaries:
    """The secrets of a test.

    Attributes:
        known: the ends of all spellings with what they are, by their first characters.
    """

    def __init__(self) -> None:
        self.known: dict[str, dict[str, str]] = {}
        for word in FIXED:
            self.add("a fixed word", word)

    def add(self, kind: str, secret: str) -> None:
        """Look for a text, whatever its case, from now on."""
        for spelling in spellings(secret.encode("utf-8", "surrogatepass")):
            self._watch(kind, spelling)

    def add_file(self, content: bytes) -> None:
        """Look for a file's content; its first bytes are enough, if they are not all the same."""
        if len(set(content)) > 3:
            for spelling in spellings(content[:48]):
                if len(spelling) >= _TEXT:
                    self._watch("a file's content", spelling)

    def add_message(self, body: bytes) -> None:
        """Look for the licences and files that a command holds, well-formed or not."""
        for found in LICENCE.findall(body.decode("utf-8", "replace")):
            self.add("a licence", found)
        for encoded in _FILE.findall(body):
            self.add_file(base64.b64decode(encoded + b"=" * (-len(encoded) % 4)))

    def join(self, other: "Canaries") -> None:
        """Look for what another looks for, too."""
        for gram, ends in other.known.items():
            self.known.setdefault(gram, {}).update(ends)

    def check(self, told: Iterable[Told]) -> None:
        """Fail when a secret was told."""
        found = self.find(told)
        if found:
            raise AssertionError("\n".join(["what is secret was told:", *found]))

    def find(self, told: Iterable[Told]) -> list[str]:
        """Name every secret that was told and where, but do not repeat it."""
        found: dict[str, str] = {}
        texts = list(dict.fromkeys(told))
        if not any(True for _ in self._in("\n".join(text for _, text in texts))):
            return []  # as always, and at once
        for where, text in texts:
            for kind, secret in self._in(text):
                found.setdefault(f"{where} tells {kind}", secret[:4])
        return [f"{leak} ({begin}...)" for leak, begin in found.items()]

    def _watch(self, kind: str, spelling: str) -> None:
        for end in (spelling[:_END].lower(), spelling[-_END:].lower()):
            if len(end) >= _GRAM:
                self.known.setdefault(end[:_GRAM], {}).setdefault(end, kind)

    def _in(self, text: str) -> Iterator[Told]:
        for kind, form in _FORMS:
            yield from ((kind, match[0]) for match in form.finditer(text))
        text, known = text.lower(), self.known
        # One look per character, however many secrets there are: a soak has thousands of them.
        for at in range(len(text) - _GRAM + 1):
            if text[at : at + _GRAM] in known:
                ends = known[text[at : at + _GRAM]].items()
                yield from ((kind, end) for end, kind in ends if text.startswith(end, at))


def fail_if_told(report: pytest.TestReport) -> None:
    """Fail a test that wrote what is secret by its form.

    Not what pytest captures of `logging` by itself: nobody has redacted that yet.
    """
    written = [each for each in report.sections if not each[0].startswith("Captured log")]
    found = Canaries().find((f"the {title}", text) for title, text in written)
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = "\n".join(["what is secret was told:", *found])


def spellings(secret: bytes) -> set[str]:
    """Everything that a secret looks like where somebody did not think of it."""
    text = secret.decode("utf-8", "backslashreplace")
    return {
        text,
        text.replace("-", ""),
        repr(text)[1:-1],
        repr(secret)[2:-1],
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        secret.hex(),
        unquote(text),
        quote(secret, safe=""),
        quote_plus(secret),
        *_inside_base64(secret),
    }


def _inside_base64(secret: bytes) -> Iterator[str]:
    """What is always the same in the base64 of something that has the secret inside."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret)
        whole = (before + len(secret)) * 8 // 6
        same = encoded[-(-before * 8 // 6) : whole].decode()
        yield from (same, same.replace("+", "-").replace("/", "_"))


@contextmanager
def keeping(kind: type[Exception]) -> Iterator[list[Exception]]:
    """Keep every exception of a class, and of those below it, from its making on.

    That finds those too that somebody caught and dropped. While they are kept, so is what their
    tracebacks hold, which `shown_by_objects` then sees as well.
    """
    made: list[Exception] = []

    def keep(self: Exception, *args: object) -> None:
        Exception.__init__(self, *args)
        made.append(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kind, "__init__", keep)
        yield made


def shown_by_errors(errors: Iterable[BaseException]) -> Iterator[Told]:
    """What errors show where they are printed, with all that stands behind them.

    Their text, `repr`, arguments and notes, and those of every error that a traceback shows with
    them; it adds nothing but lines of source to that. What `from None` hides, the locals of its
    frames, and other attributes of foreign errors are not looked at: nobody prints them.
    """
    alike = {
        (type(error), str(error), repr(error.__cause__), repr(error.__context__)): error
        for error in errors
    }
    for error in alike.values():
        for each in _behind(error):
            where = f"the error {type(error).__name__}"
            if each is not error:
                where += f" with a {type(each).__name__} behind it"
            printed = "".join(traceback.format_exception_only(each))  # with its notes
            yield where, f"{printed}{each!r}\n{each.args!r}"


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The error, and every one that is printed with it."""
    chain, seen = [error], set[int]()
    while chain:
        each = chain.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            hidden = each.__suppress_context__
            shown = (each.__cause__, None if hidden else each.__context__)
            chain += [other for other in shown if other is not None]


class _Ours(dict[type, bool]):
    """Whether a class is the service's own and shows something; the simulator is the other side."""

    def __missing__(self, kind: type) -> bool:
        module = str(kind.__module__)
        ours = module.startswith("service.") and not module.startswith("service.simulator")
        shows = any("__repr__" in vars(each) for each in kind.__mro__[:-1])
        return self.setdefault(kind, ours and shows)


_OURS: Final = _Ours()


def shown_by_objects() -> list[Told]:
    """The `repr` and `str` of the service's live objects, of a class the newest of them.

    Live is what the collector knows and `gc.freeze` did not put aside. A secret in an attribute
    that no `repr` shows is no finding: the object needs it. So a class without a `repr` of its own
    is left out; that it has no `__str__` either is tested (`tests/unit/test_secrets.py`).
    """
    seen: dict[type, int] = {}
    told = []
    for generation in range(3):
        ours = [each for each in gc.get_objects(generation) if _OURS[type(each)]]
        for each in reversed(ours):
            kind = type(each)
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] <= _SAMPLE:
                told.append((f"the repr of a {kind.__qualname__}", f"{each!r}\n{each!s}"))
    return told
