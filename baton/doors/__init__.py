"""Other servers' request shapes, for editors: codecs over the very same completion. Pure."""
