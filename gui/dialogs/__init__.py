"""Questions to the person. A dialog is opened and awaited, never run with `exec`."""
