"""What every process of virtwatch needs: health probes, settings, back-off, one line for one outage."""
