"""What all learning algorithms share."""
