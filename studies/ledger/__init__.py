"""What happened, on disk: the one source of truth of a study, and the journal it is written in."""
