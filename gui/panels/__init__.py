"""The docks and central panels of the window, one a file."""
