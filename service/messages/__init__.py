"""What travels: commands in, events out. Frozen models, tested against `contracts/`.

- `wire`: the types that both directions share: identifiers, instants, JSON that is read strictly.
- `commands`: a command and the data of each kind; bytes → command, or a rejection.
- `results`: what each command can result in.
- `events`: the data of each event, and the table of what may not contradict what in it.
- `encode`: an event → identity, routing key and bytes; and back, for those who wait for one.
"""
