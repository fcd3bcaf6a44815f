"""The screens: each makes a view (lines above, a table, lines below) of a snapshot. Pure; none knows a terminal.

The rules: the verdict comes first, then figures; a source that is silent says so where its figures would be; a view
asks for nothing and remembers nothing.
"""
