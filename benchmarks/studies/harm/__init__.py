"""Does a policy, plugged into a real training loop, ever do harm? `l2o study harm`."""
