"""After the training: card, export, parity, routing, drift, releases."""
