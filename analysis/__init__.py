"""Tables, figures and reports, read from the tracker alone."""
