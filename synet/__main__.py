"""``python -m synet``."""

from synet.cli import main

if __name__ == "__main__":
    main()
