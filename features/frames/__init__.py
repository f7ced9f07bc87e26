"""A clip of a media file as frames and waveform."""

from features.frames.decoding import decode_clip

__all__ = ["decode_clip"]
