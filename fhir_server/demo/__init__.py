"""A synthetic follow-up service that can be watched at work: people, plans, readings, and their streaming."""
