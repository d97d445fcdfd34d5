"""RabbitMQ: topology, two supervised connections, confirmed publishes, deliveries. Implements `core.broker`."""
