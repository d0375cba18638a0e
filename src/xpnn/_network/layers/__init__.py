"""What a network is made of: one kind of layer a file."""
