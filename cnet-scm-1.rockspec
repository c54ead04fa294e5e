rockspec_format = "3.0"
package = "cnet"
version = "scm-1"
source = { url = "file://." } -- `luarocks make` in a checkout
description = {
   summary = "Node.js's net module for Lua 5.4",
   detailed = [[
TCP and Unix-socket servers and clients with the names, events and error codes of Node.js's net module, on libuv.
]],
   license = "MIT",
   labels = { "network", "socket", "tcp", "async", "libuv" },
}
supported_platforms = { "unix" }
dependencies = { "lua >= 5.4, < 5.5" }
-- The library is left to the linker, which knows Debian's multiarch folders; luarocks looks there only if its version
-- and the compiler tell it to, and would say that uv.h is missing.
external_dependencies = {
   LIBUV = { header = "uv.h" },
}
build = {
   type = "builtin",
   modules = {
      cnet = {
         sources = {
            "src/abort.c",
            "src/address.c",
            "src/args.c",
            "src/attempt.c",
            "src/block_list.c",
            "src/channel.c",
            "src/child_process.c",
            "src/class.c",
            "src/cluster.c",
            "src/cluster_child.c",
            "src/cluster_primary.c",
            "src/cluster_query.c",
            "src/cluster_settings.c",
            "src/cluster_wire.c",
            "src/cnet.c",
            "src/connector.c",
            "src/emitter.c",
            "src/encoding.c",
            "src/error.c",
            "src/gather.c",
            "src/handle.c",
            "src/handle_listen.c",
            "src/handle_options.c",
            "src/handle_requests.c",
            "src/handoff.c",
            "src/immediate.c",
            "src/interrupt.c",
            "src/ipc.c",
            "src/json.c",
            "src/json_syntax.c",
            "src/listen_options.c",
            "src/listener.c",
            "src/loop.c",
            "src/lookup.c",
            "src/native.c",
            "src/path.c",
            "src/pins.c",
            "src/pipe.c",
            "src/process.c",
            "src/protect.c",
            "src/readable.c",
            "src/round_robin.c",
            "src/runtime.c",
            "src/server.c",
            "src/server_connections.c",
            "src/server_holders.c",
            "src/server_listen.c",
            "src/shared_handle.c",
            "src/shared_loop.c",
            "src/signals.c",
            "src/socket.c",
            "src/socket_address.c",
            "src/socket_class.c",
            "src/socket_list.c",
            "src/socket_options.c",
            "src/socket_state.c",
            "src/spawn_options.c",
            "src/stream.c",
            "src/strict.c",
            "src/ticks.c",
            "src/timer.c",
            "src/timer_list.c",
            "src/unix_address.c",
            "src/version.c",
            "src/worker.c",
            "src/writable.c",
         },
         defines = { "_GNU_SOURCE" },
         incdirs = { "$(LIBUV_INCDIR)" },
         libdirs = { "$(LIBUV_LIBDIR)" },
         libraries = { "uv" },
      },
   },
   copy_directories = { "docs", "examples", "types" },
}
