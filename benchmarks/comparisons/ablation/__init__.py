"""The ablation: policies learned alike but for one thing, scored on the same episodes."""
