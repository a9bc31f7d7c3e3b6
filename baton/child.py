"""How Baton starts a module in a process of its own."""

import sys

MODULE = (sys.executable, "-P", "-m")
"""What comes before the module's name. `-P`: Python would put the folder that Baton was started in
before all else, and take a `json.py` that lies there for its own."""
