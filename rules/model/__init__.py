"""Data models for CQL: what a library may say `using` of, and how their values become CQL's."""
