"""Becomes the api where a database is named, and the web page where an api is."""

import os
import sys

if "DATABASE_URL" in os.environ:
    command = ["-m", "uvicorn", "api:app", "--host", "0.0.0.0", "--port", "8000"]
elif "API_URL" in os.environ:
    command = ["/app/web.py"]
else:
    sys.exit("start.py: set DATABASE_URL (to be the api) or API_URL (to be the web page)")

os.chdir("/app")
os.execvp("python3", ["python3", "-u", *command])
