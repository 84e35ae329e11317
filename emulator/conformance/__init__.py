"""The contract of built-in session pools as a table: one row per promise, checked over HTTP.

It speaks to any pool, this emulator's or a real one: `dynamic-sessions conformance --endpoint URL`.
"""
