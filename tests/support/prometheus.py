"""The real Prometheus and its promtool, with the rules that we deploy.

What is run is Debian's package; nothing here imports the service.
"""

import asyncio
import math
import re
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.support import http
from tests.support.packages import brought
from tests.support.wait import until

Json = dict[str, Any]

DEPLOYED: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES: Final = DEPLOYED / "courier.rules.yaml"
RULE_TESTS: Final = DEPLOYED / "courier.rules.test.yaml"
CONFIGURATION: Final = DEPLOYED / "prometheus.yaml"
COMPOSED: Final = DEPLOYED / "compose.yaml"
INTERVAL: Final = "500ms"
"""Between two scrapes: a test has no quarter of a minute."""
_NUMBER: Final = re.compile(r"(==|>|<) (\d+(?:\.\d+)?)(?! \*)|(\d+) \*")
_RANGE: Final = re.compile(r"\[(\d+)([smhd])\]")


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Run it; exit code and output."""
    done = subprocess.run(
        [brought("promtool", "prometheus"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@cache
def rule_tests() -> Json:
    """The file that promtool runs."""
    return dict(yaml.safe_load(RULE_TESTS.read_text()))


@cache
def rules() -> list[Json]:
    """What we deploy: alerts, and what is recorded for them."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def alerts() -> list[Json]:
    """The alerting rules that we deploy."""
    return [rule for rule in rules() if "alert" in rule]


def cases(alert: str) -> list[Json]:
    """The tests of an alert, by the beginning of their names."""
    return [test for test in rule_tests()["tests"] if test["name"].startswith(f"{alert}:")]


def mutants(alert: Json) -> Iterator[Json]:
    """Change each number of an alert, once up and once down: thresholds, windows, `for`."""
    seconds, expr = int(alert["for"].removesuffix("m")) * 60, alert["expr"]
    yield alert | {"for": f"{seconds * 2 or 15}s"}
    if seconds:
        yield alert | {"for": f"{seconds // 2}s"}
    for found in _NUMBER.finditer(expr):
        start, end = found.span(2) if found[2] else found.span(3)
        number = float(found[2] or found[3])
        for other in (number * 1.2 or 1.5, number * 0.8 or -1.5):
            yield alert | {"expr": f"{expr[:start]}{other:g}{expr[end:]}"}
    for found in _RANGE.finditer(expr):
        start, end = found.span()
        length = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
        # Half a day and two days are as usual as one: twenty minutes are not.
        for window in (length // 2, length * 2) if length < 86400 else (1200,):
            yield alert | {"expr": f"{expr[:start]}[{window}s]{expr[end:]}"}


def surviving(alert: Json, directory: Path) -> list[str]:
    """Run an alert's tests against its mutants; say which of them no test tells from the alert.

    All of them stand beside each other in one file, under names of their own: each test loads its
    series once.
    """
    name = alert["alert"]
    named = {f"{name}{number}": mutant for number, mutant in enumerate(mutants(alert))}
    recorded = [rule for rule in rules() if rule.get("record", name) in alert["expr"]]
    mutated = [mutant | {"alert": other} for other, mutant in named.items()]
    group = {"name": "mutants", "rules": [*recorded, *mutated]}
    (directory / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    tests = [case | {"alert_rule_test": _asking(case, named)} for case in cases(name)]
    whole = rule_tests() | {"rule_files": ["rules.yaml"], "tests": tests}
    path = directory / "test.yaml"
    path.write_text(yaml.safe_dump(whole))
    _, output = promtool("test", "rules", path)
    killed = set(re.findall(r"alertname: (\w+), time", output))
    assert killed <= set(named), output
    return [f"for: {named[each]['for']}, {named[each]['expr']}" for each in set(named) - killed]


def _asking(case: Json, names: Iterable[str]) -> list[Json]:
    """Ask a test's questions about others."""
    return [asked | {"alertname": name} for asked in case["alert_rule_test"] for name in names]


@dataclass(frozen=True)
class Prometheus:
    """A server that scrapes one courier."""

    http: httpx.AsyncClient

    async def query(self, text: str) -> list[tuple[dict[str, str], float]]:
        """The labels and values of an instant vector; without those that are no numbers.

        A quantile of nothing is such a one, and what a graph would show nothing of.
        """
        answer = (await self.http.get("/api/v1/query", params={"query": text})).json()
        assert "success" == answer["status"], answer
        assert "vector" == answer["data"]["resultType"], text
        found = [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    async def rules(self) -> list[Json]:
        """Every rule with its health, once all of them were evaluated."""
        while True:
            answer = (await self.http.get("/api/v1/rules")).json()
            found = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
            if all(rule["health"] != "unknown" for rule in found):
                return found
            await asyncio.sleep(0.1)

    async def states(self, alert: str) -> list[tuple[str, dict[str, str]]]:
        """What is pending and firing of an alert, with its labels."""
        (rule,) = [each for each in await self.rules() if each["name"] == alert]
        return [(each["state"], each["labels"]) for each in rule["alerts"]]

    async def until(self, text: str, *, patience: float = 60.0) -> None:
        """Wait until a query finds something."""
        async with asyncio.timeout(patience):
            while not await self.query(text):  # noqa: ASYNC110  Prometheus tells nobody by itself
                await asyncio.sleep(0.1)


@asynccontextmanager
async def scraping(target: str, directory: Path) -> AsyncIterator[Prometheus]:
    """Run Prometheus as it is deployed, but for the target and the intervals.

    Args:
        target: host and port of a courier.
        directory: where it keeps what it has.
    """
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    configuration["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    configuration["rule_files"] = [str(DEPLOYED / name) for name in configuration["rule_files"]]
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    path, log = directory / "prometheus.yaml", directory / "prometheus.log"
    path.write_text(yaml.safe_dump(configuration))
    with log.open("wb") as told:
        process = await asyncio.create_subprocess_exec(
            brought("prometheus", "prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            stdout=told,
            stderr=told,
        )
    try:
        address = await until(lambda: _address(log.read_text(), ended=process.returncode))
        async with http.visit(f"http://{address}") as client:
            yield Prometheus(client)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _address(log: str, *, ended: int | None) -> str | None:
    """Where it listens, once it answers there: it says "Service Unavailable" for a moment."""
    assert ended is None, log
    found = re.search(r'msg="Listening on" address=(\S+)', log)
    return found[1] if found and "Server is ready to receive web requests" in log else None
