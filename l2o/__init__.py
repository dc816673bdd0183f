"""l2o: learned layer-wise learning rates for synthetic-to-real fine-tuning."""
