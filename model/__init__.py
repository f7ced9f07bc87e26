"""Numbers to retrieval: AVLnet, its loss and metrics, loading, training, evaluation. Reads tables, never media."""

import logging

# Lightning loads what counts the operations of triton kernels, and torch says so where no triton is: for us no news.
logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)
