"""Which upstreams answer a request, in which order. Pure."""
