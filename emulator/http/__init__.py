"""Everything that speaks HTTP: one module a surface, one forwarder into sessions."""
