"""Latency under load: at half and at four fifths of what the service can do."""

from collections import defaultdict

from tests.benchmarks.found import Check, Row, Table, middle, quantile
from tests.benchmarks.ground import Ground
from tests.benchmarks.limits import warmed
from tests.benchmarks.load import commands
from tests.benchmarks.scale import Scale
from tests.benchmarks.throughput import ACTIVATE, names

_SHARES = (0.5, 0.8)
_POINTS = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
_CURVE = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)
_ROUNDS = 2
_FLEET = 20


async def pressure(ground: Ground, scale: Scale) -> Row:
    """Find how much it can do, then send by the clock, and less than that."""
    found: dict[tuple[float, str], list[float]] = defaultdict(list)
    curve: dict[str, list[tuple[float, float]]] = {}
    can: list[float] = []
    fleet = names("fac", _FLEET)
    for number in range(min(scale.rounds, _ROUNDS)):
        async with (
            ground.appliances(_FLEET) as appliances,
            ground.serving(appliances) as (load, worker),
        ):
            await warmed(load, fleet)
            wanted = commands(ACTIVATE, scale.commands, fleet, f"s{number}")
            most = await ground.poured(load, [worker], appliances, wanted)
            can.append(most.rate)
            for share in _SHARES:
                rate = most.rate * share
                count = int(rate * scale.seconds)
                wanted = commands(ACTIVATE, count, fleet, f"{number}{share * 10:.0f}o")
                times = [each * 1000 for each in await load.open_loop(wanted, rate)]
                for name, of in _POINTS.items():
                    found[share, name].append(quantile(times, of))
                found[share, "late"].append(quantile(load.late, 0.99) * 1000)
                curve[f"{share:.0%} of saturation"] = [(of, quantile(times, of)) for of in _CURVE]
            load.check(len(load.arrivals))
    checks = [
        Check(f"{name} at {share:.0%}", found[share, name], unit="ms")
        for share in _SHARES
        for name in _POINTS
    ]
    rows = [
        (
            f"{share:.0%}",
            middle([each * share for each in can], 0),
            *(middle(found[share, name]) for name in (*_POINTS, "late")),
        )
        for share in _SHARES
    ]
    columns = ("of saturation", "commands/s", *_POINTS, "sender late, p99")
    return Row(
        "latency",
        "Latency under load",
        f"Activations at {_FLEET} appliances that answer at once. Saturation is what was poured out"
        f" in the same process just before; then {scale.seconds:.0f} s by the clock, each command's"
        " time counted from when it should have left to its event.",
        checks,
        [Table("Milliseconds", columns, rows)],
        series=curve,
    )
