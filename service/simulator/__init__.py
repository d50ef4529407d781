"""Simulated appliances: both of the vendor's boxes over real sockets, with books and faults.

It imports nothing from the rest of ``service``, so that it cannot share its mistakes. The map, in
the order in which a request meets the modules:

- ``simulator``: all appliances of one run, their CA, the inventory file that leads to them;
  ``certificates``: those that a client should take, and those that it should not
- ``server``: what both kinds are: the way of a request from the wire and back; ``listener``: the
  socket, off and on
- ``wire``: what is read from a request, what is sent back, and the broken ways of sending it
- ``faults``: the rules that say which request goes wrong; ``actions``: the ways to go wrong
- ``switches``: what can be set where the vendor's documents are silent; ``lockout``: too many
  refused logins
- ``fortiauthenticator``, ``fortivoice``: how the two answer
- ``sessions``: FortiVoice's logins; ``devices``, ``phones``: its phone list, asked and shown;
  ``multipart``: the form with which it takes a file
- ``samples``: the bytes that the vendor's documents show
- ``books``: the simulator's own record, with which tests compare what the courier claims
- ``steering``: what can be done to an appliance from outside, in one language for two ways:
  ``control``, a page on loopback, where everything is seen as well, and ``script``, a file
- ``checks``: what everything that is set from outside must be

For those who test against it: ``deploy/SIMULATOR.md``.
"""

from service.simulator.actions import (
    Action,
    Answer,
    Delay,
    DuplicateRows,
    EmptyPage,
    Endless,
    ExpireSession,
    Hang,
    PageCap,
    Reset,
    RotateCookie,
    ShrinkPages,
    Total,
    Truncate,
)
from service.simulator.books import Books, Entry, Spent, Upload
from service.simulator.checks import FieldError
from service.simulator.faults import Faults, Rule
from service.simulator.fortiauthenticator import FortiAuthenticator
from service.simulator.fortivoice import FortiVoice
from service.simulator.server import SimulatedAppliance
from service.simulator.simulator import Simulator

__all__ = [
    "Action",
    "Answer",
    "Books",
    "Delay",
    "DuplicateRows",
    "EmptyPage",
    "Endless",
    "Entry",
    "ExpireSession",
    "Faults",
    "FieldError",
    "FortiAuthenticator",
    "FortiVoice",
    "Hang",
    "PageCap",
    "Reset",
    "RotateCookie",
    "Rule",
    "ShrinkPages",
    "SimulatedAppliance",
    "Simulator",
    "Spent",
    "Total",
    "Truncate",
    "Upload",
]
