"""Exits 0 if the URL answers 200."""

import sys
from urllib.request import urlopen

try:
    with urlopen(sys.argv[1], timeout=3) as response:
        sys.exit(response.status != 200)
except OSError as error:
    sys.exit(f"probe: {error}")
