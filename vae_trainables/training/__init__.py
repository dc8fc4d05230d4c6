"""How a trial trains: the loop, its optimizer and schedules, and a session that records it."""
