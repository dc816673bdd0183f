"""Learning LR-control policies."""
