"""The command line of KeyRe-ID: commands, typed config and run folders. Each command wraps one stage."""
