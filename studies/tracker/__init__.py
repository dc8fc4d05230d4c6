"""From events to MLflow: a durable spool that the driver writes, a sender that delivers it."""
