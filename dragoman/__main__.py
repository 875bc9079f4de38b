"""``python -m dragoman`` is the command ``dragoman``."""

from dragoman.adapters.cli import main

if __name__ == "__main__":
    main()
