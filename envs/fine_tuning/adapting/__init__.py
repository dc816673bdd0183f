"""A second stage of a fine-tune: adaptation to unlabelled images of the target."""
