"""An instant whose age can be told later, whatever the wall clock was set to in between.

A wall clock may be put forward by an hour at any time. How long a write has been under way must not
depend on that: one that counts as over too early would be judged while the appliance works on it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from service.messages.wire import now

if TYPE_CHECKING:
    from datetime import datetime

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux names the boot (proc_sys_kernel(5)); containers see their host's."""


@dataclass(frozen=True)
class Moment:
    """When something was, by two clocks.

    Attributes:
        at: what the wall clock said.
        boot: which boot of the system it was; None where that cannot be told.
        uptime: seconds since then, those in which the system slept included (clock_gettime(2),
            CLOCK_BOOTTIME). It goes on over restarts of the process and no clock step touches it.
    """

    at: datetime
    boot: str | None = None
    uptime: float = 0.0

    @classmethod
    def current(cls, boot_id: Path = BOOT_ID) -> Moment:
        """Look at both clocks.

        Args:
            boot_id: where the boot is named; on systems that have no such file only the wall
                clock counts.
        """
        try:
            boot = _boot(boot_id)
            return cls(now(), boot, time.clock_gettime(time.CLOCK_BOOTTIME))
        except (OSError, ValueError, AttributeError):
            return cls(now())

    def age(self, current: Moment) -> float:
        """Tell how many seconds lie between this and a later moment; never less than none.

        Within one boot the uptime counts, else the wall clock. An uptime that went back is another
        one (a container may have a time namespace of its own) and says nothing.
        """
        if self.boot is not None and self.boot == current.boot and self.uptime <= current.uptime:
            return current.uptime - self.uptime
        return max(0.0, (current.at - self.at).total_seconds())

    def before(self, seconds: float) -> Moment:
        """Give the moment that was so many seconds earlier."""
        return Moment(self.at - timedelta(seconds=seconds), self.boot, self.uptime - seconds)


@cache
def _boot(boot_id: Path) -> str | None:
    """Read which boot this is: no process lives to see another."""
    return boot_id.read_text(encoding="ascii").strip() or None
