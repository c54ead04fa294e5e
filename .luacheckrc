std = "lua54"
max_line_length = 120
exclude_files = { "build*" }

files["spec"].std = "+busted"
files["types"] = { max_line_length = false, unused = false } -- an annotation stands in one line
files["stress/no_memory"].read_globals = { "arm", "disarm" } -- see stress/no_memory.c
files["stress/teardown"].read_globals = { "state", "jump", "nap" } -- see stress/teardown.c
files["stress/fuzz"].globals = { "net", "tell", "told", "decode", "encode" } -- see stress/fuzz/fuzz.c
