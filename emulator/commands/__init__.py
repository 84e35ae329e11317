"""One module a family of verbs of `dynamic-sessions`."""
