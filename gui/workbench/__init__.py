"""The parts of the workbench: what is sent, one invocation as it runs, and what comes back."""
