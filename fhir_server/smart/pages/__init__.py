"""The pages that people see: sign-in, choice of patient, consent, launcher, applications; without scripts."""
