"""Ground floor: the session-pool resource, its ARM document and that document's versions. No I/O."""
