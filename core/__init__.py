"""The pure core: values in, values out.

Lives here: everything that decides. HTTP framing, access, routing, translation, quotas, the life of one exchange.
May not live here: sockets, files, clocks, dice, environment, logging, threads, ``await``. Time (`now`), chance (`draw`) and
new ids (`new_id`) come in as arguments. Imports nothing of `dragoman` but itself.
"""

if __name__ != "dragoman.core":  # or every class here would exist twice
    raise ImportError("import this folder as dragoman.core")
