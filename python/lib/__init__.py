"""The interface that own modules are written against."""
