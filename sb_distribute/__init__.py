"""Distribution: what the processors publish, as REST (4002) and as a WebSocket stream (4003)."""
