"""Takes providers' feeds in: decodes, refuses in the smallest pieces, and makes what it accepts durable before it answers."""
