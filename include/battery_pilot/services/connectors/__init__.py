"""Clients of data-space connectors behind one interface."""
