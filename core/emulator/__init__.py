"""The Lambda Runtime API in asyncio on h11. Imports only h11 and the standard library."""
