"""`python -m tonne`: the same as the command."""

from tonne.cli.entry import main

if __name__ == "__main__":
    main()
