"""Places that answer: one small file per dialect, one transport."""
