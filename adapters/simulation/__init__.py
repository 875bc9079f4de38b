"""A whole gateway in a simulated world, from one seed: clients, providers and their faults, laws that are checked from outside.

Nothing here sleeps or opens a socket. `scenario` makes a world's rules from a seed, `wire` holds the bytes that are said, `refusals` those of
errors; `provider` and `clients` play both sides and note what they see; `referee` compares that with the journals, and puts them in one `history`, with `shadow` and `meters`, which
say once more, from the documentation alone, how long a credential has to rest; `world` runs it all, `report` tells of it.
"""
