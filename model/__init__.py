"""Numbers to retrieval: AVLnet, its loss and metrics, loading, training, evaluation. Reads tables, never media."""
