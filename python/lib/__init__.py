"""The interface for Python modules, compatible with that of the Python daemon."""
