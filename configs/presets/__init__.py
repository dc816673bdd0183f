"""configs/presets."""
