"""Instances in containers of a local engine: Docker and Podman, through the Docker API."""
