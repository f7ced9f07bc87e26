"""Train, val and test: the draw, what it keeps, and the certificate that proves it."""

from datasets.splits.draw import draw_splits

__all__ = ["draw_splits"]
