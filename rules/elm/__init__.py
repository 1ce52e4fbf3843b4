"""ELM, the exchange form of compiled CQL, as JSON (https://cql.hl7.org/elm.html)."""
