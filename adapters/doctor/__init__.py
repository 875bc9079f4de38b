"""Looking whether all is well: with the gateway, its credentials and providers, and with the environment of a client.

Each module finds out about one of these and gives back `Finding`s; nothing here prints, and nothing is changed anywhere.
"""
