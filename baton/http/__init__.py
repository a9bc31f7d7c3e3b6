"""The side that callers touch: connections, limits, and one exchange per completion request."""
