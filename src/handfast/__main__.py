"""``python -m handfast``, where scripts are not on the path."""

from handfast.cli import main

if __name__ == "__main__":
    main()
