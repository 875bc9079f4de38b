"""What we show providers, and when it may be shown.

Lives here: the states of a credential, cooldowns, quota windows, what an attempt's result means, the pool that picks, the limits of client
keys, what a credential file says. May not live here: names of models, strategies, the order of attempts within an exchange (`routing`), files
themselves (`dragoman.adapters.credential_files`). Imports configuration, instants, errors and the tables of `dragoman.core.providers`.
"""
