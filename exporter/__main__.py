"""`python -m exporter` does what the console script `kraken-custody-exporter` does."""

from exporter.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
