"""Impedance spectra: validity, equivalent circuits and the resistances that a passport carries."""
