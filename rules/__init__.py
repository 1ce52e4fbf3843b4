"""The languages and the clinical rules: pure functions that know nothing of HTTP or stores."""
