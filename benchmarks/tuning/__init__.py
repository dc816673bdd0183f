"""`l2o tune`: Ray Tune over the fields of a fine-tune's or a training's config."""
