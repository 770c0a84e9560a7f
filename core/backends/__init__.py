"""What brings instances up and down: local processes here, containers and pods beside them."""
