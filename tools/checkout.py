"""Where the checkout is that these tools belong to."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
