"""What the authors of AVLnet publish: their pickles of clips, and their checkpoints."""
