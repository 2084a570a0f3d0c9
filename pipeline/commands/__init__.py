"""One module per subcommand of `keyreid`; the module's `command` is what click runs."""
