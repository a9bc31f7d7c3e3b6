"""Routes beside the completion endpoint: models, admin, health, docs."""
