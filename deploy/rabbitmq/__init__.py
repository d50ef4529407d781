"""What a RabbitMQ for the courier is told: its configuration, users, and what stands on it."""
