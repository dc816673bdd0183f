"""Processes, devices, locks and caches: what runs need of a machine."""
