"""The command line: `odyssey train | predict | data | info | verify`. One file per command, loaded when asked for."""
