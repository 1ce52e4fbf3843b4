"""The log of accesses: an entry for each, chained, in the commit of what it is about; its AuditEvents."""
