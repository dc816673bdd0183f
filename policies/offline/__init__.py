"""Learning from a data set of fine-tunes: every task tried at several sizes of steps."""
