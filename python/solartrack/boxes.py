"""Box conventions."""
