"""What the service's source must not do, wherever it stands."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SERVICE: Final = Path(__file__).parents[2] / "service"
UNSAFE_MODULES: Final = {
    *("yaml", "pickle", "cPickle", "dill", "marshal", "shelve", "jsonpickle"),
    # Whatever unpacks: a message of some bytes becomes one of gigabytes.
    *("gzip", "zlib", "bz2", "lzma", "zipfile", "tarfile", "zstandard", "brotli"),
}
_OF_OS: Final = {"system", "popen"}
UNSAFE_CALLS: Final = {"eval", "exec", "compile", "__import__", *_OF_OS}


def test_nothing_is_run_unpacked_or_loaded_that_came_from_outside() -> None:
    """No unsafe loader (YAML, pickle, marshal), no eval, no shell, no decompression."""
    found = [
        (path.relative_to(SERVICE).as_posix(), what)
        for path in SERVICE.rglob("*.py")
        for what in unsafe(ast.parse(path.read_text()))
    ]
    assert [] == found


def test_what_is_unsafe_would_be_found() -> None:
    """However it is written."""
    source = """
import yaml, os.path
from pickle import loads
from os import system as s
eval("1"); os.system("x"); re.compile("x")
run("x", shell=True); run(["x"], shell=False)
"""
    expected = ["yaml", "pickle", "system", "eval", "system", "shell=True"]
    assert sorted(expected) == sorted(unsafe(ast.parse(source)))


def unsafe(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        yield from (name for name in imported(node) if name in UNSAFE_MODULES | UNSAFE_CALLS)
        if isinstance(node, ast.Call):
            yield from called(node)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name.partition(".")[0] for each in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0], *(each.name for each in node.names)]
    return []


def called(node: ast.Call) -> Iterator[str]:
    name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
    # `re.compile` is no `compile`, and what a container runs runs there.
    known = _OF_OS if isinstance(node.func, ast.Attribute) else UNSAFE_CALLS
    if name in known:
        yield str(name)
    for word in node.keywords:
        is_false = isinstance(word.value, ast.Constant) and word.value.value is False
        if word.arg == "shell" and not is_false:
            yield "shell=True"
