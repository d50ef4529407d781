"""The document as a page: no script, nothing from elsewhere, readable without its style."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.asyncapi.document import Contract, contracts
from deploy.asyncapi.fields import fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.asyncapi.document import Json
    from deploy.asyncapi.fields import Field

PAGE: Final = Path(__file__).parents[2] / "service" / "web" / "docs" / "index.html"
_CODE: Final = re.compile(r"`([^`]+)`")
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: messages</title>
<link rel="stylesheet" href="docs/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header><h1>{title}</h1><p>Messages, version {version}.
<a href="docs/asyncapi.yaml">AsyncAPI document</a></p></header>
<nav aria-label="Messages">{contents}</nav>
<main>
<section id="about">{about}</section>
{commands}
{events}
</main>
</body>
</html>
"""
_CONTRACT: Final = """\
<section id="{key}">
<h2>{title}</h2>
<p>{summary}</p>
<dl>
<dt>Type</dt><dd><code>{type}</code></dd>
<dt>Exchange</dt><dd><code>{exchange}</code></dd>
<dt>Routing key</dt><dd><code>{address}</code></dd>
{answers}</dl>
<div class="wide"><table>
<thead><tr><th scope="col">Field<th scope="col">Value<th scope="col">Meaning</tr></thead>
<tbody>
{rows}
</tbody></table></div>
{examples}
</section>
"""


def page(document: Json) -> str:
    """Write the page of a document."""
    commands, events = contracts("commands"), contracts("events")
    info = document["info"]
    return _PAGE.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        about=_paragraphs(info["description"]),
        contents=_contents("Commands", commands) + _contents("Events", events),
        commands="\n".join(_section(document, each) for each in commands),
        events="\n".join(_section(document, each) for each in events),
    )


def _contents(title: str, listed: Iterable[Contract]) -> str:
    items = "".join(f'<li><a href="#{each.key}">{escape(each.name)}</a>' for each in listed)
    return f"<h2>{title}</h2><ul>{items}</ul>"


def _section(document: Json, contract: Contract) -> str:
    message = document["components"]["messages"][contract.key]
    channel = document["channels"][contract.key]
    return _CONTRACT.format(
        key=contract.key,
        title=escape(message["title"]),
        summary=_words(message["summary"]),
        type=escape(contract.type),
        exchange=escape(channel["bindings"]["amqp"]["exchange"]["name"]),
        address=escape(channel["address"]),
        answers=_answers(document, contract),
        rows="\n".join(map(_row, fields(contract.schema))),
        examples="\n".join(map(_example, message["examples"])),
    )


def _answers(document: Json, contract: Contract) -> str:
    operation = document["operations"].get(f"run.{contract.key}")
    if operation is None:
        return ""
    keys = [each["$ref"].rpartition("/")[2] for each in operation["reply"]["messages"]]
    links = ", ".join(f'<a href="#{key}"><code>courier.{key}</code></a>' for key in keys)
    return f"<dt>Answered by</dt><dd>{links}</dd>\n"


def _row(field: Field) -> str:
    need = "" if field.required else " <em>optional</em>"
    limits = "".join(f"<br><small>{escape(each)}</small>" for each in field.limits)
    return (
        f"<tr><th scope=row><code>{escape(field.path)}</code>{need}"
        f"<td>{escape(field.kind)}{limits}<td>{_words(field.description)}</tr>"
    )


def _example(example: Json) -> str:
    text = json.dumps(example["payload"], indent=2, ensure_ascii=False)
    return (
        f"<details><summary>Example: {escape(example['name'])}</summary>"
        f"<pre><code>{escape(text)}</code></pre></details>"
    )


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_words(each)}</p>" for each in text.strip().split("\n\n"))


def _words(text: str) -> str:
    """Write a sentence, with what is marked as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
