"""From the outside world to clips: search, selection, download, audio, speech segmentation, clip arithmetic."""
