"""A synthetic source: rendered garments, and simulated users whose preferences are known."""
