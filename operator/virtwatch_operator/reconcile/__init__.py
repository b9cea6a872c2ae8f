"""From what users write to what agents judge by."""
