"""Clips to numbers: frames and waveform, 2D and 3D encoders, log-mel, feature tables."""
