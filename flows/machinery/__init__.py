"""What every stage runs on: batches, locks, progress, and what is checked before. It knows no stage."""
