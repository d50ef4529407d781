"""Deliveries in, settled, acked. The only module that knows FastStream.

- `intake`: the consuming connections: deliveries come in here, and are acked here at the end.
- `settling`: what is done with a delivery: decode, run, and a confirmed publish.
- `headers`: headers of any content, read and copied.
- `telling`: the messages that settle a delivery: events, replies, retry copies, parked copies.
- `spans`: what a trace tells of deliveries and of these messages.

A delivery is acked after its result, its retry copy or its parked copy was confirmed, and not
before. Nothing is nacked but by accident: a nack comes back at once and burns the delivery limit
within milliseconds.
"""
