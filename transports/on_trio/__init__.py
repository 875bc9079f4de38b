"""The trio transport, the default. Same files, same names, same behaviour as `dragoman.transports.on_asyncio`."""
