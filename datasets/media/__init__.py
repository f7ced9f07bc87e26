"""What a media file is, for all that open one: its container, its tracks, its clock and its waveform."""

END_TOLERANCE_MS = 1000
"""A clip may miss this much at its end (streams of one file rarely end together) before it counts as lost."""
