"""The command line: `odyssey train | predict | info | verify`. One file per command, loaded when it is asked for."""
