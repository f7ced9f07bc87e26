"""The encoders: a network by name on an engine, frames in, features out."""

from features.encoders.encoder import load_encoder

__all__ = ["load_encoder"]
