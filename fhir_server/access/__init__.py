"""Who may see and do what: a grant, what of it holds for a type, and the store as it is seen through it."""
