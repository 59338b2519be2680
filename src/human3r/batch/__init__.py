"""Many recordings: run, refine, resume, retry; on one machine or on a Ray cluster."""
