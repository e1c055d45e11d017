"""How runs are computed: settings, the compiled loop, batches."""
