"""AWS's own runtime clients, unchanged, as the runtimes of functions."""
