"""What manifests must say beyond their schema: each rule names what is against it."""

import asyncio
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

import httpx

from service.app import LAST_WORDS
from service.appliances.entries import Entry
from service.settings import PREFIX, Settings
from service.topology import OWN_PREFIX, UNKNOWN_COMMAND, work_queues
from service.web import Web
from tests.support.kustomize import Json

Objects: TypeAlias = list[Json]
Rule: TypeAlias = Callable[[Objects], Iterator[str]]

SESSIONS_PER_REPLICA: Final = 1
"""One login for all who wait: `service.appliances.session`."""
SPARE: Final = 5.0
"""Seconds that the grace period has beyond what the process takes at most."""
READ_TIMEOUT: Final = Entry.model_fields["read_timeout"].default
_NAMES: Final = re.compile(r"password|passwd|secret|token|key", re.IGNORECASE)
_LABEL: Final = "app.kubernetes.io/name"


def of(objects: Objects, kind: str) -> Objects:
    return [each for each in objects if each["kind"] == kind]


def pod(objects: Objects) -> Json:
    (deployment,) = of(objects, "Deployment")
    return dict(deployment["spec"]["template"]["spec"])


def container(objects: Objects) -> Json:
    (only,) = pod(objects)["containers"]
    return dict(only)


def environment(objects: Objects) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(objects)["env"] if "value" in each}


def every_variable_is_a_setting(objects: Objects) -> Iterator[str]:
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    yield from (f"{name} is no setting" for name in environment(objects) if name not in known)


def every_value_can_be_used(objects: Objects) -> Iterator[str]:
    known = Settings.model_fields
    given = {name.removeprefix(PREFIX).lower(): each for name, each in environment(objects).items()}
    overrides: dict[str, Any] = {name: each for name, each in given.items() if name in known}
    settings = Settings.load(_env_file=None, **overrides)
    if settings.shows_page:
        yield "the page is shown to everybody who gets at the pod"
    if settings.http_port != container(objects)["ports"][0]["containerPort"]:
        yield "the port is another one than the container's"


def the_image_is_this_version(objects: Objects) -> Iterator[str]:
    image = container(objects)["image"]
    if image != f"appliance-courier:{version('appliance-courier')}":
        yield f"the image is {image}"


def probes_ask_what_is_answered(objects: Objects) -> Iterator[str]:
    ports = {each["name"] for each in container(objects)["ports"]}
    expected = {"startupProbe": "live", "livenessProbe": "live", "readinessProbe": "ready"}
    for name, word in expected.items():
        asked = container(objects)[name]["httpGet"]
        if not is_answered(asked["path"]) or not asked["path"].endswith(word):
            yield f"the {name} asks {asked['path']}"
        if asked["port"] not in ports:
            yield f"the {name} asks at the port {asked['port']}"


@cache
def is_answered(path: str) -> bool:
    """Ask the service's own HTTP surface."""

    async def ask() -> int:
        web = Web("127.0.0.1", 0, not_ready=list, metrics=bytes)
        transport = httpx.ASGITransport(app=web.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
            return (await client.get(path)).status_code

    return asyncio.run(ask()) == HTTPStatus.OK


def a_start_may_take_as_long_as_a_running_service(objects: Objects) -> Iterator[str]:
    probe = container(objects)["startupProbe"]
    patience = probe["periodSeconds"] * probe["failureThreshold"]
    if patience < Settings.model_fields["watchdog_timeout"].default:
        yield f"a start may take {patience} s only"


def the_drain_comes_to_its_end(objects: Objects) -> Iterator[str]:
    drain = float(environment(objects).get(f"{PREFIX}DRAIN_TIMEOUT", 25))
    grace = pod(objects)["terminationGracePeriodSeconds"]
    if grace < drain + LAST_WORDS + SPARE:
        yield f"the grace period of {grace} s ends a drain of {drain} s"
    if drain < READ_TIMEOUT:
        yield f"a drain of {drain} s is shorter than a write may take"


def selectors_match_the_pods(objects: Objects) -> Iterator[str]:
    (deployment,) = of(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = {"Deployment": deployment["spec"]["selector"]}
    selectors |= {"PodDisruptionBudget": of(objects, "PodDisruptionBudget")[0]["spec"]["selector"]}
    for policy in of(objects, "NetworkPolicy"):
        selectors[f"NetworkPolicy {policy['metadata']['name']}"] = policy["spec"]["podSelector"]
    for spread in pod(objects)["topologySpreadConstraints"]:
        selectors[spread["topologyKey"]] = spread["labelSelector"]
    for name, selector in selectors.items():
        wanted = selector.get("matchLabels", {}).items()
        if not wanted or not wanted <= labels:
            yield f"{name} selects other pods"


def everything_is_in_one_namespace(objects: Objects) -> Iterator[str]:
    (namespace,) = of(objects, "Namespace")
    for each in objects:
        if each is not namespace and each["metadata"]["namespace"] != namespace["metadata"]["name"]:
            yield f"{each['kind']} is in {each['metadata']['namespace']}"
        if each is not namespace and each["metadata"].get("labels", {}).get(_LABEL) != "courier":
            yield f"{each['kind']} is not labelled"


def secrets_are_files(objects: Objects) -> Iterator[str]:
    if of(objects, "Secret"):
        yield "a Secret stands among the manifests"
    for each in container(objects)["env"]:
        if "valueFrom" in each:
            yield f"{each['name']} comes from elsewhere"
        elif _NAMES.search(each["name"]) and not each["name"].endswith("_FILE"):
            yield f"{each['name']} is given in clear"
        if re.search(r"://[^/@]*:[^/@]*@", each.get("value", "")):
            yield f"{each['name']} has a password in it"
    if "envFrom" in container(objects):
        yield "variables come from elsewhere"


def files_stand_where_they_are_looked_for(objects: Objects) -> Iterator[str]:
    there = _files(objects)
    wanted = [value for name, value in environment(objects).items() if name.endswith("_FILE")]
    wanted += re.findall(r"[?&]sslrootcert=([^&]+)", environment(objects)["COURIER_LEDGER_URL"])
    wanted += [str(entry.password_file) for entry in inventory(objects).values()]
    wanted += [str(entry.ca_file) for entry in inventory(objects).values() if entry.ca_file]
    for path in wanted:
        parent = str(PurePosixPath(path).parent)
        if path not in there and parent not in there:
            yield f"nothing is mounted at {path}"


def _files(objects: Objects) -> set[str]:
    """Every file that is mounted; the folder, where a volume does not name what it holds."""
    volumes = {each["name"]: each for each in pod(objects)["volumes"]}
    found = set()
    for mount in container(objects)["volumeMounts"]:
        volume, at = volumes[mount["name"]], mount["mountPath"]
        sources = volume.get("projected", {}).get("sources", [])
        items = [item for source in sources for item in source["secret"]["items"]]
        if "configMap" in volume:
            (config,) = of(objects, "ConfigMap")
            items = [{"path": name} for name in config["data"]]
        found |= {f"{at}/{item['path']}" for item in items} or {at}
    return found


def no_mount_lies_in_another(objects: Objects) -> Iterator[str]:
    places = [PurePosixPath(each["mountPath"]) for each in container(objects)["volumeMounts"]]
    for place in places:
        if any(other in place.parents for other in places):
            yield f"{place} would have to be made in a volume that is read-only"


def inventory(objects: Objects) -> dict[str, Entry]:
    """What the courier would read."""
    (config,) = of(objects, "ConfigMap")
    tables = tomllib.loads(config["data"]["appliances.toml"])["appliances"]
    return {name: Entry.model_validate(table) for name, table in tables.items()}


def whoever_is_asked_is_verified(objects: Objects) -> Iterator[str]:
    for name, entry in inventory(objects).items():
        if not entry.url.startswith("https://") or not entry.verify_tls:
            yield f"{name} is not verified"
    url = environment(objects)["COURIER_BROKER_URL"]
    if any(not each.startswith("amqps://") for each in url.split(",")):
        yield "the broker is asked in clear"
    ledger = urlsplit(environment(objects)["COURIER_LEDGER_URL"])
    if ledger.scheme != "sqlite" and parse_qs(ledger.query).get("sslmode") != ["verify-full"]:
        yield "the ledger is not verified"


def pods_are_restricted(objects: Objects) -> Iterator[str]:
    """Kubernetes' pod security standard "restricted", and a file system that nobody writes to."""
    (namespace,) = of(objects, "Namespace")
    if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace takes any pod"
    whole, own = pod(objects)["securityContext"], container(objects)["securityContext"]
    expected = {
        "runAsNonRoot": (whole.get("runAsNonRoot"), True),
        "seccompProfile": (whole.get("seccompProfile"), {"type": "RuntimeDefault"}),
        "allowPrivilegeEscalation": (own.get("allowPrivilegeEscalation"), False),
        "readOnlyRootFilesystem": (own.get("readOnlyRootFilesystem"), True),
        "capabilities": (own.get("capabilities"), {"drop": ["ALL"]}),
        "privileged": (own.get("privileged", False), False),
        "automountServiceAccountToken": (pod(objects).get("automountServiceAccountToken"), False),
    }
    yield from (name for name, (found, wanted) in expected.items() if found != wanted)
    if not whole.get("runAsUser") or own.get("runAsUser", 1) == 0:
        yield "runAsUser"
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if pod(objects).get(name))
    allowed = {"configMap", "projected", "secret", "persistentVolumeClaim", "emptyDir"}
    for volume in pod(objects)["volumes"]:
        yield from (f"a volume is a {kind}" for kind in set(volume) - {"name"} - allowed)
    yield from ("a hostPort" for port in container(objects)["ports"] if "hostPort" in port)


def resources_are_bounded(objects: Objects) -> Iterator[str]:
    resources = container(objects)["resources"]
    if {"cpu", "memory"} - set(resources["requests"]) or "memory" not in resources["limits"]:
        yield "not every resource is asked for or bounded"


PORTS: Final = {53, 443, 5432, 5671}
"""Names, appliances, PostgreSQL, the broker."""


def nothing_else_is_talked_to(objects: Objects) -> Iterator[str]:
    policies = of(objects, "NetworkPolicy")
    if not any(set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"} for each in policies):
        yield "one direction is open"
    reached = set()
    for policy in policies:
        for rule in policy["spec"].get("egress", ()):
            ports = {each.get("port") for each in rule.get("ports", [{}])}
            reached |= ports
            if not rule.get("to") or ports - PORTS:
                yield f"anybody may be talked to, or at another port: {json.dumps(rule)}"
        for rule in policy["spec"].get("ingress", ()):
            ports = {each.get("port") for each in rule.get("ports", [{}])}
            if not rule.get("from") or ports != {container(objects)["ports"][0]["containerPort"]}:
                yield f"anybody may come in, or at another port: {json.dumps(rule)}"
    wanted = PORTS if "postgresql" in environment(objects)["COURIER_LEDGER_URL"] else PORTS - {5432}
    yield from (f"port {port} is not open" for port in wanted - reached)


def appliances_have_sessions_for_all(objects: Objects) -> Iterator[str]:
    """The cap, and what comes on top of it while a new version is rolled out."""
    (deployment,) = of(objects, "Deployment")
    strategy = deployment["spec"]["strategy"]
    surge = strategy.get("rollingUpdate", {}).get("maxSurge", 0)
    if surge != 0:
        yield "a new version is rolled out with more replicas than there are sessions for"
    for scaled in of(objects, "ScaledObject"):
        given = int(scaled["metadata"]["annotations"]["courier/sessions-per-appliance"])
        if scaled["spec"]["maxReplicaCount"] * SESSIONS_PER_REPLICA != given:
            yield "the cap is not what the sessions allow"
        if "replicas" in deployment["spec"]:
            yield "replicas are set by two"
        if scaled["spec"]["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
            yield "something else is scaled"
        if scaled["spec"]["minReplicaCount"] > scaled["spec"]["maxReplicaCount"]:
            yield "there is no number between the least and the most"


def every_work_queue_is_counted(objects: Objects) -> Iterator[str]:
    expected = {queue.name for queue in work_queues()} - {UNKNOWN_COMMAND}
    for scaled in of(objects, "ScaledObject"):
        counted = [each["metadata"] for each in scaled["spec"]["triggers"]]
        if {each["queueName"] for each in counted} != expected:
            yield f"not the queues of {OWN_PREFIX}<command>"
        if any(each["protocol"] != "http" for each in counted):
            yield "what is run is not counted"  # over AMQP only what is ready
        (authentication,) = of(objects, "TriggerAuthentication")
        names = {each["authenticationRef"]["name"] for each in scaled["spec"]["triggers"]}
        if names != {authentication["metadata"]["name"]}:
            yield "a trigger asks as somebody else"


def sqlite_has_one_owner(objects: Objects) -> Iterator[str]:
    if not environment(objects)["COURIER_LEDGER_URL"].startswith("sqlite"):
        return
    (deployment,) = of(objects, "Deployment")
    spec = deployment["spec"]
    if (spec["replicas"], spec["strategy"]) != (1, {"type": "Recreate"}):
        yield "a second courier is started while the first one is there"
    (claim,) = of(objects, "PersistentVolumeClaim")
    if claim["spec"]["accessModes"] != ["ReadWriteOncePod"]:
        yield "the ledger may be opened by another pod"
    (volume,) = [each for each in pod(objects)["volumes"] if "persistentVolumeClaim" in each]
    if volume["persistentVolumeClaim"]["claimName"] != claim["metadata"]["name"]:
        yield "the ledger is on another volume"


RULES: Final[tuple[Rule, ...]] = (
    every_variable_is_a_setting,
    every_value_can_be_used,
    the_image_is_this_version,
    probes_ask_what_is_answered,
    a_start_may_take_as_long_as_a_running_service,
    the_drain_comes_to_its_end,
    selectors_match_the_pods,
    everything_is_in_one_namespace,
    secrets_are_files,
    files_stand_where_they_are_looked_for,
    no_mount_lies_in_another,
    whoever_is_asked_is_verified,
    pods_are_restricted,
    resources_are_bounded,
    nothing_else_is_talked_to,
    appliances_have_sessions_for_all,
    every_work_queue_is_counted,
    sqlite_has_one_owner,
)
