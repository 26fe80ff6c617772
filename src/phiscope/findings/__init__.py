"""Which numbers can be said of these moments and spectra, which not and why."""
