"""What a media file is, for all that open one: its container, its tracks, its clock and its waveform."""
