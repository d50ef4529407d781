"""The manifests say what Kubernetes, KEDA and the service understand, and what is safe."""

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from service.settings import Settings
from tests.support import kustomize, schemas
from tests.support.kustomize import MANIFESTS, OVERLAYS, RECORD, NotKnown, render
from tests.unit import kubernetes_rules as rules
from tests.unit.kubernetes_rules import RULES, Objects, Rule

README: Final = (MANIFESTS / "README.md").read_text("utf-8")


@cache
def rendered(overlay: str) -> str:
    return json.dumps(render(MANIFESTS / overlay))


def objects_of(overlay: str) -> Objects:
    made: Objects = json.loads(rendered(overlay))
    return made


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_rendered_as_kubectl_does_it(overlay: str) -> None:
    """What is looked at here is what is applied; `python -m tests.support.kustomize` records it."""
    assert json.loads(RECORD.read_text())[overlay] == kustomize.digest(objects_of(overlay))


@pytest.mark.parametrize("version", schemas.VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_fits_its_schema(overlay: str, version: str) -> None:
    """Nothing is unknown, missing or of another type, for the oldest and the newest Kubernetes."""
    assert [] == [bad for each in objects_of(overlay) for bad in schemas.defects(each, version)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_rule_is_kept(overlay: str, rule: Rule) -> None:
    """Each rule says what is against it, and there is nothing."""
    assert [] == list(rule(objects_of(overlay)))


POD: Final = "Deployment/spec/template/spec"
OWN: Final = f"{POD}/containers/0"
SCALED: Final = "ScaledObject/spec"
SHUT: Final = "NetworkPolicy/spec"
DROP: Final = object()


def put(objects: Objects, path: str, value: object) -> None:
    """Change one place: a kind, then the way through it; a list's end is `-`."""
    kind, *above, last = path.split("/")
    place: Any = next(each for each in objects if each["kind"] == kind)
    for step in above:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if last == "-":
        place.append(value)
    elif isinstance(place, list):
        place[int(last)] = value
    elif value is DROP:
        del place[last]
    else:
        place[last] = value


SCHEMA_MUTANTS: Final[list[tuple[str, object]]] = [
    ("Namespace/spec/finalizer", []),
    ("ServiceAccount/automountServiceAccountToken", "no"),
    ("ConfigMap/data/x", 1),
    ("Deployment/spec/selector", DROP),
    ("Deployment/spec/strategy/rollingUpdate/maxSurges", 1),
    (f"{POD}/terminationGracePeriodSecond", 60),
    (f"{POD}/terminationGracePeriodSeconds", "60"),
    (f"{POD}/topologySpreadConstraints/0/maxSkew", DROP),
    (f"{POD}/volumes/-", {"name": "x", "secrets": {}}),
    (f"{OWN}/livenessProbe/httpGet/port", DROP),
    (f"{OWN}/securityContext/readOnlyRootFileSystem", True),
    (f"{OWN}/env/-", {"name": "COURIER_HTTP_PORT", "value": 8080}),
    (f"{OWN}/env/-", {"value": "x"}),
    (f"{SHUT}/egress/0/ports/0/port", None),
    (f"{SHUT}/egress/0/too", []),
    ("PodDisruptionBudget/spec/maxUnavailble", 1),
    ("PodDisruptionBudget/spec/maxUnavailable", []),
    (f"{SCALED}/maxReplicas", 4),
    (f"{SCALED}/maxReplicaCount", "4"),
    (f"{SCALED}/triggers/0/metadata/value", 100),
    (f"{SCALED}/triggers/0/metadata/queue", "x"),
    (f"{SCALED}/triggers/0/type", "rabbit"),
    (f"{SCALED}/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown/policies/0/type", "Pod"),
    ("TriggerAuthentication/spec/secretTargetRef/0/parameter", "hosts"),
    ("TriggerAuthentication/spec/secretTargetRef/0/value", "guest"),
]


@pytest.mark.parametrize(
    ("path", "value"), SCHEMA_MUTANTS, ids=[each for each, _ in SCHEMA_MUTANTS]
)
def test_a_schema_refuses_what_nobody_knows(path: str, value: object) -> None:
    """Shown for each kind of object: a field that is mistyped, missing or of another type."""
    objects = objects_of("autoscaled")
    put(objects, path, value)
    found = [each for one in objects for each in schemas.defects(one, schemas.VERSIONS[-1])]
    assert [path.split("/", maxsplit=1)[0]] == list({each.split()[0] for each in found})


UNVERIFIED: Final = """
[appliances.a]
kind = "fortivoice"
url = "https://h"
username = "u"
password_env = "P"
verify_tls = false
"""
MUTANTS: Final[list[tuple[Rule, str, object]]] = [
    (rules.every_variable_is_a_setting, f"{OWN}/env/0/name", "COURIER_LEGDER_URL"),
    (rules.every_value_can_be_used, f"{OWN}/env/-", {"name": "COURIER_PAGE", "value": "true"}),
    (rules.every_value_can_be_used, f"{OWN}/ports/0/containerPort", 8081),
    (rules.the_image_is_this_version, f"{OWN}/image", "appliance-courier:latest"),
    (rules.probes_ask_what_is_answered, f"{OWN}/livenessProbe/httpGet/path", "/healthz/live"),
    (rules.probes_ask_what_is_answered, f"{OWN}/livenessProbe/httpGet/path", "/health/ready"),
    (rules.probes_ask_what_is_answered, f"{OWN}/readinessProbe/httpGet/path", "/health/live"),
    (rules.probes_ask_what_is_answered, f"{OWN}/startupProbe/httpGet/port", "https"),
    (rules.a_start_may_take_as_long_as_a_running_service, f"{OWN}/startupProbe/periodSeconds", 4),
    (rules.the_drain_comes_to_its_end, f"{POD}/terminationGracePeriodSeconds", 50),
    (
        rules.the_drain_comes_to_its_end,
        f"{OWN}/env/-",
        {"name": "COURIER_DRAIN_TIMEOUT", "value": "20"},
    ),
    (rules.selectors_match_the_pods, "PodDisruptionBudget/spec/selector/matchLabels/x", "y"),
    (rules.selectors_match_the_pods, f"{SHUT}/podSelector/matchLabels/x", "y"),
    (rules.selectors_match_the_pods, f"{SHUT}/podSelector", {}),
    (rules.selectors_match_the_pods, "Deployment/spec/selector/matchLabels/x", "y"),
    (
        rules.selectors_match_the_pods,
        f"{POD}/topologySpreadConstraints/1/labelSelector/matchLabels/app",
        "courier",
    ),
    (rules.everything_is_in_one_namespace, "NetworkPolicy/metadata/namespace", "default"),
    (rules.everything_is_in_one_namespace, "ScaledObject/metadata/labels", DROP),
    (rules.secrets_are_files, "ConfigMap/kind", "Secret"),
    (rules.secrets_are_files, f"{OWN}/env/-", {"name": "COURIER_BROKER_PASSWORD", "value": "x"}),
    (rules.secrets_are_files, f"{OWN}/env/-", {"name": "X", "value": "amqp://u:p@h"}),
    (
        rules.secrets_are_files,
        f"{OWN}/env/-",
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}},
    ),
    (rules.secrets_are_files, f"{OWN}/envFrom", [{"secretRef": {"name": "x"}}]),
    (rules.files_stand_where_they_are_looked_for, f"{OWN}/volumeMounts/0/mountPath", "/elsewhere"),
    (rules.files_stand_where_they_are_looked_for, f"{OWN}/volumeMounts/1/mountPath", "/elsewhere"),
    (rules.files_stand_where_they_are_looked_for, f"{OWN}/volumeMounts/2/mountPath", "/elsewhere"),
    (
        rules.files_stand_where_they_are_looked_for,
        f"{POD}/volumes/2/projected/sources/1/secret/items/0/path",
        "appliances/fac-1",
    ),
    (rules.no_mount_lies_in_another, f"{OWN}/volumeMounts/0/mountPath", "/etc/courier/ledger"),
    (
        rules.whoever_is_asked_is_verified,
        "ConfigMap/data/appliances.toml",
        UNVERIFIED,
    ),
    (rules.whoever_is_asked_is_verified, f"{OWN}/env/2/value", "amqp://h"),
    (rules.whoever_is_asked_is_verified, f"{OWN}/env/0/value", "postgresql://h/d?sslmode=require"),
    (rules.pods_are_restricted, "Namespace/metadata/labels", {}),
    (rules.pods_are_restricted, f"{POD}/securityContext/runAsNonRoot", DROP),
    (rules.pods_are_restricted, f"{POD}/securityContext/runAsUser", 0),
    (rules.pods_are_restricted, f"{OWN}/securityContext/runAsUser", 0),
    (rules.pods_are_restricted, f"{POD}/securityContext/seccompProfile/type", "Unconfined"),
    (rules.pods_are_restricted, f"{OWN}/securityContext/allowPrivilegeEscalation", DROP),
    (rules.pods_are_restricted, f"{OWN}/securityContext/readOnlyRootFilesystem", False),
    (rules.pods_are_restricted, f"{OWN}/securityContext/capabilities/add", ["NET_ADMIN"]),
    (rules.pods_are_restricted, f"{OWN}/securityContext/privileged", True),
    (rules.pods_are_restricted, f"{POD}/automountServiceAccountToken", True),
    (rules.pods_are_restricted, f"{POD}/hostNetwork", True),
    (rules.pods_are_restricted, f"{POD}/volumes/-", {"name": "x", "hostPath": {"path": "/"}}),
    (rules.pods_are_restricted, f"{OWN}/ports/0/hostPort", 8080),
    (rules.resources_are_bounded, f"{OWN}/resources/limits", {}),
    (rules.resources_are_bounded, f"{OWN}/resources/requests/cpu", DROP),
    (rules.nothing_else_is_talked_to, f"{SHUT}/egress/-", {}),
    (rules.nothing_else_is_talked_to, f"{SHUT}/egress/0/to", []),
    (rules.nothing_else_is_talked_to, f"{SHUT}/egress/1/ports/0/port", 5672),
    (rules.nothing_else_is_talked_to, f"{SHUT}/ingress/0/from", DROP),
    (rules.nothing_else_is_talked_to, f"{SHUT}/ingress/0/ports", DROP),
    (rules.nothing_else_is_talked_to, f"{SHUT}/policyTypes", ["Ingress"]),
    (
        rules.appliances_have_sessions_for_all,
        "Deployment/spec/strategy/rollingUpdate/maxSurge",
        "25%",
    ),
    (rules.appliances_have_sessions_for_all, f"{SCALED}/maxReplicaCount", 5),
    (rules.appliances_have_sessions_for_all, f"{SCALED}/minReplicaCount", 5),
    (rules.appliances_have_sessions_for_all, f"{SCALED}/scaleTargetRef/name", "other"),
    (rules.appliances_have_sessions_for_all, "Deployment/spec/replicas", 2),
    (rules.every_work_queue_is_counted, f"{SCALED}/triggers/0/metadata/queueName", "courier.x"),
    (rules.every_work_queue_is_counted, f"{SCALED}/triggers/0/metadata/protocol", "amqp"),
    (rules.every_work_queue_is_counted, f"{SCALED}/triggers/0/authenticationRef/name", "x"),
    (rules.sqlite_has_one_owner, "Deployment/spec/replicas", 2),
    (rules.sqlite_has_one_owner, "Deployment/spec/strategy", {"type": "RollingUpdate"}),
    (rules.sqlite_has_one_owner, "PersistentVolumeClaim/spec/accessModes", ["ReadWriteMany"]),
    (rules.sqlite_has_one_owner, "PersistentVolumeClaim/metadata/name", "other"),
]


@pytest.mark.parametrize(
    ("rule", "path", "value"), MUTANTS, ids=[f"{rule.__name__}-{path}" for rule, path, _ in MUTANTS]
)
def test_a_rule_finds_what_is_against_it(rule: Rule, path: str, value: object) -> None:
    """Each rule, and each thing that it looks at, is shown to fail on a changed manifest."""
    objects = objects_of("sqlite" if rule is rules.sqlite_has_one_owner else "autoscaled")
    put(objects, path, copy.deepcopy(value) if value is not DROP else value)
    assert [] != list(rule(objects))


def test_every_rule_is_shown_to_fail() -> None:
    """None is without a mutant."""
    assert set(RULES) == {rule for rule, _, _ in MUTANTS}


@pytest.mark.parametrize(
    ("file", "text"),
    [("kustomization.yaml", "namePrefix: x"), ("kustomization.yaml", "patches: [{patch: x}]")],
)
def test_what_the_renderer_does_not_know_it_refuses(file: str, text: str, tmp_path: Path) -> None:
    """It never leaves a part of a kustomization out."""
    (tmp_path / file).write_text(f"resources: []\nnamespace: x\n{text}\n")
    with pytest.raises(NotKnown):
        render(tmp_path)


def test_the_figures_of_the_page_are_those_of_the_manifests() -> None:
    """The arithmetic in README.md is what is applied."""
    objects = objects_of("autoscaled")
    (scaled,) = rules.of(objects, "ScaledObject")
    most = scaled["spec"]["maxReplicaCount"]
    concurrency = max(each.max_concurrency for each in rules.inventory(objects).values())
    logins = Settings.model_fields["login_budget"].default
    told = {
        "sessions at an appliance": most,
        "requests in flight at an appliance": most * concurrency,
        "logins at an appliance within five minutes": most * logins,
        "wrong passwords sent at once": most,
    }
    found = re.findall(r"^\| ([a-z ]+) \| [^|]* = (\d+) \|", README, re.MULTILINE)
    assert told == {name: int(figure) for name, figure in found}
