"""Tables as data, and their three formats."""
