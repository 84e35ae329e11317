"""The pool-management front end of the Dynamic Sessions Emulator."""
