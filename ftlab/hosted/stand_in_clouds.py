"""The paths of Together, Fireworks, Vertex and Bedrock in the stand-in."""

ROUTES = []
