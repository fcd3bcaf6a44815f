"""The vocabulary and the edge: messages, odds, ports, adapters, and what every service shares."""
