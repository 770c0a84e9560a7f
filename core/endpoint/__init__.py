"""The Lambda-compatible local HTTP API in front of one runtime, on the emulator's HTTP server."""
