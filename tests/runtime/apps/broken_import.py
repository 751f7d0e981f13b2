"""A handler module whose import fails."""

raise LookupError("this module does not load")
