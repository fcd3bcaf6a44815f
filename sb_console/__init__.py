"""The operations console: collectors make observations, one pure reducer makes a snapshot of them, screens paint it."""
