"""`l2o finetune` and `l2o predict`: a fine-tune in a folder, and the network that comes of it."""
