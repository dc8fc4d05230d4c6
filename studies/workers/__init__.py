"""Ray: how trials reach workers, alone or in cohorts. Nothing is decided here."""
