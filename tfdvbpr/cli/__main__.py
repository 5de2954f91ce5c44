"""`python -m tfdvbpr.cli`."""

from tfdvbpr.cli import main

main()
