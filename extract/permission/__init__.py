"""Whether a video may be trained on, by what its owner and its host say themselves."""
