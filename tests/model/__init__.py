"""A model of the promise: one licence command's life, explored exhaustively within stated bounds.

- `rules`: the guards as data, and the two presets `LANDED` and `MENDED`.
- `state`: the world as nested tuples; `scenarios`: the bounds of each exploration.
- `statements`: the ledger's statements; `judging`: what a reading says of a write.
- `writing`, `ending`: the steps of a courier; `faults`, `surroundings`: the steps around it.
- `invariants`: what must hold in each state; `search`: breadth-first search and its traces.
- `report`: the Markdown report that `python -m tests.model` writes.
"""
