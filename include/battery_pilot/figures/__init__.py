"""Figures of single measurements: as pictures by matplotlib, and as pages that answer to the mouse."""
