"""What is known of each provider, as values: base URL, environment variables, dialect, kind of credential.

Lives here: one literal table, `PROVIDERS`. May not live here: behaviour that differs by provider; that is a dialect's.
"""
