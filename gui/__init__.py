"""Stoker's window, on PySide6 and qasync. `gui.app` is where it is put together."""
