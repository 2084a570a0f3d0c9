"""The report: one HTML file that holds everything about an evaluated run, pictures included."""
