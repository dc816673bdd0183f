"""How one fine-tune is computed: number formats, parts of batches, processes, and its state."""
