"""What is remembered over a restart: cooldowns, quota counts, conversations' bindings, what client keys have used; and the usage ledger.

Lives here: the state file (`sqlite`) and the thread that writes it (`saving`); the ledger's file (`usage_file`), its thread (`usage_writer`) and sums
of it (`usage`); how both files are opened (`database`). May not live here: what is worth saving and what saved data means, which the core says
(`Router.take_news`, `Router.restore`, `dragoman.core.ledger`).
"""
