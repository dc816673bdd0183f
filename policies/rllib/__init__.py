"""Learning by RLlib, Ray's library of reinforcement learning."""
