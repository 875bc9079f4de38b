"""Whole gateways in simulated worlds: the laws hold, the same seed gives the same bytes, and who breaks a law is found out."""
