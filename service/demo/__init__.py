"""The demonstration: a whole courier on one machine, with a broker and appliances of its own.

* `service.demo.story` tells it from start to end: `workflow` is what is sent, `running` the service
  as a process, `report` what is shown, `places` where everything is for those who stay.
* `service.demo.broker` finds a RabbitMQ to run on, or brings one up, in a fixed order.
* `service.demo.node` is a private RabbitMQ node as a plain process, which can be broken on purpose.
* `service.demo.container` is the same in Docker.
* `service.demo.debian` installs Debian's RabbitMQ without starting the system-wide broker.
"""
