"""The MCP server of a pool: `POST {pool}/mcp`."""
