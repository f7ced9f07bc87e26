"""One static page about a root: what came out of each stage, what was lost, and strips of labels to listen to."""
