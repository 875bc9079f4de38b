"""From a model's name to those who may answer.

Lives here: names, the catalog of what can be asked for, the order in which deployments are tried. May not live here: what an
answer or a failure means (`credentials`, `exchange`). Imports configuration and errors only.
"""
