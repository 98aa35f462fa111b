"""The display: a process of its own that shows what the service publishes. Importing this loads no Qt."""
