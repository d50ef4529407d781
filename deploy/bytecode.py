"""Keeps the bytecode of what the courier imports; run once, while its image is built.

On a read-only root file system Python cannot keep what it compiles, and every start and every
probe would compile everything anew: a probe costs 0.6 s of processor time then, and 0.2 s with
this. Compiled is what is imported, and not what lies there: that would be twice as much again.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compiled
from typing import Final

_LEFT_OUT: Final = (
    *(f"service.{name}" for name in ("client", "demo", "parking", "simulator", "telemetry.otlp")),
    *(
        f"service.cli.{name}"
        for name in ("bulk", "contracts", "demo", "log", "parked", "send", "simulate")
    ),
)
"""What a person starts may take a second longer; traces are not for everybody."""
_LATE: Final = ("anyio._backends._asyncio", "uvicorn.lifespan.off", "uvicorn.loops.auto")
"""What is imported by its name when it is needed."""


def main(image: Path) -> None:
    """Write bytecode below `image`, at the path that each file has there.

    That of Python's own modules is written where the base image has none.
    """
    import_everything()
    for module in list(sys.modules.values()):
        source, kept = getattr(module, "__file__", None), getattr(module, "__cached__", None)
        if not source or not kept or Path(kept).exists():
            continue
        # By no time stamp: whoever copies the layers may give the files another one.
        compiled(
            source,
            cfile=str(image / kept.lstrip("/")),
            doraise=True,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )


def import_everything() -> None:
    """Import all that a start of the service and a probe do; what was made smaller works so far."""
    for name in _LATE:
        importlib.import_module(name)
    service = Path(importlib.import_module("service").__path__[0])
    for file in service.rglob("*.py"):
        parts = file.relative_to(service.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        if not module.startswith(_LEFT_OUT):
            importlib.import_module(module)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
