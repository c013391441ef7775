"""The one place that dials: through which proxy, with which certificates, to which of a name's addresses."""
