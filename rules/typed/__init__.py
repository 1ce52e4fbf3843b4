"""From the syntax tree to the typed tree, whose nodes are ELM's."""
