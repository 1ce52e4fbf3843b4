"""The R4 definitions as a compact derived table, and the validators compiled from them."""
