"""The looks that figures share, and figures of a single fine-tune."""
