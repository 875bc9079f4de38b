"""Pointing client tools at the gateway: what each tool must be told, where it reads that, how to write it there and take it back.

Lives here: the table of tools, edits of their files, starting them. May not live here: anything a running gateway needs.
"""
