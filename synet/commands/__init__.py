"""The commands, a module each: arguments in, one call, a result printed.

A command imports what it needs when it runs, so that ``--help`` and completion are quick.
"""
