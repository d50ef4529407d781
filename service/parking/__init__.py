"""What lies in `courier.parked`, for the people who look after it: read, judged, moved.

- `properties`: AMQP properties as the bytes that they are: read leniently, copied unchanged.
- `parked`: the queue, held by a client that no message can kill; what is not settled goes back.
  `courier contracts validate` looks into other queues by it.
- `message`: one parked message: who sent it, why and since when it lies there.
- `forecast`: what would become of a message if it were replayed.
- `moving`: replay, save, discard: what was promised comes first, then the ack.

The service itself cannot read all of this: its AMQP library loses the connection over properties
that are not UTF-8 or tell an absurd instant. Such messages are parked by the broker, unanswered.
"""
