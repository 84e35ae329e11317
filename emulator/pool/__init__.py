"""The heart: sessions, their states, allocation, warm set, expiry, events. No HTTP, no Docker."""
