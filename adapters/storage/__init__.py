"""What is remembered over a restart: cooldowns, quota counts, conversations' bindings, what client keys have used.

Lives here: the file (`sqlite`) and the thread that writes it (`saving`). May not live here: what is worth saving and what saved
data means, which the core says (`Router.take_news`, `Router.restore`).
"""
