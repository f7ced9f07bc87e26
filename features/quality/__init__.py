"""What a clip looks and sounds like: figures that need no model, and those of models that a package carries."""
