"""What CQL's operators mean, as plain Python functions (https://cql.hl7.org/09-b-cqlreference.html)."""
