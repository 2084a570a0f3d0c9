"""`python -m pipeline` is `keyreid`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
