"""The hub: what a chat request, an answer and a stream mean, in no provider's words.

Lives here: values (`request`, `blocks`, `answer`, `stream`, `usage`, `fault`, `loss`, `target`) and the rules that all dialects share
(`arguments`, `effort`, `media`, `names`, `signature`, `turns`, `wayback`). May not live here: any field name of any wire format. Imports only
`dragoman.core.errors` and `dragoman.core.json_text`.
"""
