"""Appliance Courier: runs commands from RabbitMQ on Fortinet appliances, each once, and answers.

A command meets the modules in this order:

1. `consumers`   a delivery comes in; it is decoded, run, settled by a confirmed publish, acked
2. `messages`    bytes become a typed command, or a rejection that is answered
3. `execution`   is it new, interrupted or finished? has it time left? which conclusion follows?
4. `ledger`      what was intended and what came of it, durable before it is told
5. `handlers`    one function per command: talks to a port, returns an outcome
6. `appliances`  the ports' two implementations, on sessions that are shared and renewed
7. `topology`    exchanges and queues; where results, retries and parked messages are published

Around them: `app` builds everything once, `cli` is the way in, `errors` says what follows from
what, `settings` what can be set, `telemetry` what is told, `web` answers probes and shows the
`metrics`, what messages look like (`published`) and a page, whose story of each command is the
`journal`'s, `watchdog` ends a process that cannot do its work. For people there are `checks` (does
everything answer?), `client` (sends commands), `eventlog` (reads it), `parking` (what was parked)
and `ledger` (what is unknown). `simulator` plays the appliances and shares no code with the rest;
`demo` shows it all on one machine.
"""
