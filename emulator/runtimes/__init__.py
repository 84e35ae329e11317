"""Where a session's container lives."""
