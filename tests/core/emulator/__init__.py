"""Tests of the Runtime API and of the HTTP server under it."""
