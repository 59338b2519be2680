"""The human3r command, one file per subcommand."""
