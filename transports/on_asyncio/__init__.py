"""The asyncio transport. Same files, same names, same behaviour as `dragoman.transports.on_trio`."""
