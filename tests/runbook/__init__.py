"""The operator's runbook is run: every command of it, as written, against a live gateway in the state its page describes."""
