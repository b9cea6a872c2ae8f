"""What only a guest knows of itself: its file systems."""
