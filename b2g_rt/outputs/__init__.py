"""What leaves the service: ZeroMQ sockets, LSL outlets, the session file. Importing this does nothing."""
