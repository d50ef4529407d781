"""`courier simulate`: the two appliances, played."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from service.errors import ConfigurationError
from service.simulator import FieldError, Simulator


def simulate(
    directory: Annotated[
        Path,
        typer.Option(help="Where ca.pem, the passwords and appliances.toml are written."),
    ] = Path("simulated"),
    fortiauthenticators: Annotated[int, typer.Option(min=0, help="How many, fac-1 ...")] = 1,
    fortivoices: Annotated[int, typer.Option(min=0, help="How many, fvc-1 ...")] = 1,
    host: Annotated[
        str,
        typer.Option(
            help="The name or address on which they listen, and by which the inventory calls them."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=65535,
            help="Fixed ports, in that order; repeat the option. Others are free ones.",
        ),
    ] = None,
    control_port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="The control page's port on loopback; 0 takes a free one."
        ),
    ] = 0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds before each answer.")] = 0.0,
    devices: Annotated[int, typer.Option(min=0, help="Phones on each FortiVoice.")] = 7,
    script: Annotated[
        Path | None,
        typer.Option(help="A TOML file that says what happens to them at which second."),
    ] = None,
) -> None:
    """Play a FortiAuthenticator and a FortiVoice over HTTPS, on this machine unless told.

    They behave as the vendor's documents say, keep books of what was done to them and can be told
    to misbehave, on the control page or by a script. Run the service against them with
    [bold]COURIER_APPLIANCES_FILE=simulated/appliances.toml courier serve[/bold].
    """
    try:
        simulator = Simulator(
            fortiauthenticators=fortiauthenticators,
            fortivoices=fortivoices,
            host=host,
            ports=port or [],
            control_port=control_port,
            latency=latency,
            devices=devices,
            script=script,
        )
        directory.mkdir(parents=True, exist_ok=True)
        asyncio.run(_play(simulator, directory.resolve()))
    except (FieldError, OSError) as error:
        raise ConfigurationError(f"cannot simulate: {error}") from None


async def _play(simulator: Simulator, directory: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        typer.echo(f"inventory  {simulator.write_files(directory)}")
        typer.echo(f"control    {simulator.control_url}")
        for appliance in simulator.appliances.values():
            typer.echo(f"{appliance.name:<10} {appliance.kind:<18} {appliance.url}")
        await simulator.script.play(typer.echo, stop)
        await stop.wait()
