"""Adapters from core events to Qt item models; the only place where the two meet."""
