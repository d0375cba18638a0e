"""What each array library does in its own way: one adapter a library, behind one protocol."""
