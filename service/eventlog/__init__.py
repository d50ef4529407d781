"""The event log as a person reads it, whoever wrote it: nothing of it is trusted.

- `tail`: a file, or what comes by a pipe, in pieces; it goes on where a file was rotated.
- `reading`: a line as an event, if it is one; what is harmless on a terminal.
- `stories`: lines put together by command, in bounded memory.
- `showing`: how a line and a story look.
"""
