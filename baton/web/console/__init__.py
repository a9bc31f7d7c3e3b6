"""The operators' console: pages under /console, signed in to with a key."""
