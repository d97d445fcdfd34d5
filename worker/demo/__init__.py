"""The whole house on one screen: RabbitMQ, the sandbox, a real worker process, faults, and a count at the end."""
