"""Shipped policies, a folder each: `policy.safetensors` and `card.json`."""
