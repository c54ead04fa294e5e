---@meta cnet
-- What an editor knows of cnet: annotations for lua-language-server (LuaCATS). docs/reference.md is made of this file
-- and the two beside it by tools/reference.lua, and spec/annotations_spec.lua compares them with the module itself.
--
-- Times are milliseconds and sizes are bytes, unless said otherwise. "Raises" names the codes of errors that are thrown
-- at the caller; docs/errors.md tells the cause and the cure of each code.

-- ---- values ----

---Where a socket or a server is. `family` is "IPv4" or "IPv6".
---@class net.Address
---@field address string
---@field family "IPv4"|"IPv6"
---@field port integer

---The names of encodings. Without one, text is the bytes of the Lua string, and a chunk is the bytes that came.
---@alias net.Encoding
---| "utf8" # a chunk never ends inside a character; bytes that are no UTF-8 become U+FFFD when read
---| "utf-8" # the same
---| "latin1" # the bytes as they are, both ways: a Lua string has no other form
---| "binary" # the same
---| "ascii" # the same, with the highest bit cleared when reading
---| "hex" # two digits for a byte
---| "base64" # with `+`, `/` and padding
---| "base64url" # with `-` and `_`, without padding

---The codes of the errors that cnet itself makes. System errors have libuv's names: "ECONNREFUSED", "EADDRINUSE" …
---@alias net.ErrorCode
---| "ABORT_ERR" # an AbortController has aborted it
---| "ERR_CHILD_CLOSED_BEFORE_REPLY" # a child ended before it could tell how many connections it has
---| "ERR_CHILD_PROCESS_IPC_REQUIRED" # `options.stdio` of a fork has no "ipc"
---| "ERR_ILLEGAL_CONSTRUCTOR" # `net.AbortSignal()`: make a net.AbortController
---| "ERR_INVALID_ADDRESS" # this is no IP address of that family
---| "ERR_INVALID_ADDRESS_FAMILY" # a `lookup` function gave a family that is neither 4 nor 6
---| "ERR_INVALID_ARG_TYPE" # an argument or option is of the wrong type
---| "ERR_INVALID_ARG_VALUE" # an argument or option has a value that cannot be
---| "ERR_INVALID_FD_TYPE" # a descriptor is no TCP connection and no pipe
---| "ERR_INVALID_HANDLE_TYPE" # this kind of object cannot be sent, or this kind of socket cannot be reset
---| "ERR_INVALID_IP_ADDRESS" # a `localAddress`, or what a `lookup` function gave, is no IP address
---| "ERR_INVALID_STATE" # a read-only property was assigned
---| "ERR_INVALID_SYNC_FORK_INPUT" # a word in `options.stdio` of a fork that is not known
---| "ERR_INVALID_THIS" # a method was called with '.' instead of ':', or on something else
---| "ERR_IPC_CHANNEL_CLOSED" # a message to a process whose channel has ended
---| "ERR_IPC_DISCONNECTED" # a second `disconnect`
---| "ERR_IPC_INVALID_MESSAGE" # what came over a channel is no JSON
---| "ERR_IPC_ONE_PIPE" # `options.stdio` of a fork has "ipc" twice
---| "ERR_IP_BLOCKED" # a net.BlockList forbids the address
---| "ERR_MISSING_ARGS" # an argument or option that must be there is not
---| "ERR_OUT_OF_RANGE" # a number is too small, too large or not whole
---| "ERR_SERVER_ALREADY_LISTEN" # `listen` on a server that listens
---| "ERR_SERVER_NOT_RUNNING" # `close` of a server that does not listen
---| "ERR_SOCKET_BAD_BUFFER_SIZE" # the size of a buffer is no integer above 0
---| "ERR_SOCKET_BAD_PORT" # a port is no integer from 0 to 65535
---| "ERR_SOCKET_BUFFER_SIZE" # the kernel did not set or tell the size of a buffer
---| "ERR_SOCKET_CLOSED" # the socket has no connection (any more)
---| "ERR_SOCKET_CLOSED_BEFORE_CONNECTION" # it was closed before it was connected, with something to write
---| "ERR_SOCKET_CONNECTION_TIMEOUT" # no address of a name could be tried
---| "ERR_SOCKET_HANDLE_ADOPTED" # a net.BoundSocket was used or closed before
---| "ERR_STREAM_ALREADY_FINISHED" # `end_` with a callback, after 'finish'
---| "ERR_STREAM_DESTROYED" # a write to a socket that is destroyed
---| "ERR_STREAM_NULL_VALUES" # `write(nil)`
---| "ERR_STREAM_PUSH_AFTER_EOF" # bytes came after the script had ended reading with `unshift(nil)`
---| "ERR_STREAM_UNSHIFT_AFTER_END_EVENT" # `unshift` after 'end'
---| "ERR_STREAM_WRITE_AFTER_END" # a write after `end_`
---| "ERR_UNHANDLED_ERROR" # an 'error' event with a value that is no error, and nobody heard it
---| "ERR_UNKNOWN_ENCODING" # no encoding has this name
---| "ERR_UNKNOWN_SIGNAL" # no signal has this name or number
---| "ERR_WORKER_HANDLE_NOT_TRANSFERABLE" # a net.BoundSocket to be sent was used or closed before

-- ---- net.Error ----

---What cnet raises and what 'error' events carry: a table with these fields. `tostring(err)` is the message, and
---`"lost: " .. err` works; for an error about the caller's arguments it begins with the caller's position. The
---message of an AggregateError, of several addresses that were tried in vain, names them all (Node: no message):
---`connect ECONNREFUSED localhost:80 (::1, 127.0.0.1)`.
---
---`net.Error(message, fields)` makes one with a copy of the fields: `net.Error("no such user", { code = "ENOUSER" })`.
---What is added to the table net.Error, every error has.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/errors.html#class-error)
---@class net.Error
---@overload fun(message?: any, fields?: table<string, any>): net.Error
---@operator concat(any): string
---"Error", "TypeError", "RangeError", "AbortError", "AggregateError", "SystemError" or "SyntaxError".
---@field name string
---Node's text, to the letter for system errors: `listen EADDRINUSE: address already in use 127.0.0.1:8080`.
---@field message string
---What a program compares. The reason of an AbortController has the number 20, as Node's.
---@field code? net.ErrorCode|string|integer
---Of system errors: libuv's number, below 0.
---@field errno? integer
---Of system errors: "listen", "connect", "bind", "accept", "read", "write", "shutdown", "getaddrinfo", "spawn" …
---@field syscall? string
---The IP address or the path that it is about.
---@field address? string
---The port that it is about.
---@field port? integer
---The bound address of a connection that failed, if it was asked for with `localPort`.
---@field localAddress? string
---The bound port of that connection.
---@field localPort? integer
---The name that was looked up.
---@field hostname? string
---Of ERR_INVALID_ADDRESS_FAMILY: the host to connect to. Its `port` is there too.
---@field host? string
---The program that could not be started.
---@field path? string
---The arguments of the program that could not be started.
---@field spawnargs? string[]
---Of an AggregateError: the error of each address that was tried.
---@field errors? net.Error[]
---Of ERR_UNHANDLED_ERROR: the value that the 'error' event had.
---@field context? any
---Of errors about arguments: the caller's position, `script.lua:12: `.
---@field position? string
local Error = {}

-- ---- net.EventEmitter ----

---An object with events: every net.Server, net.Socket, net.process and so on is one, and `net.EventEmitter()` makes one
---for a script's own. Listeners are called in the order they were added, with the event's arguments and nothing else.
---A method added to the table net.EventEmitter is there for all of them, and one added to net.Socket for every socket.
---
---An 'error' event that nobody listens to is raised: it leaves `net.run()`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#class-eventemitter)
---@class net.EventEmitter
---@overload fun(): net.EventEmitter
---A listener is about to be added, to the event of this name.
---@field on fun(self: net.EventEmitter, event: "newListener", listener: fun(event: any, listener: function)): net.EventEmitter
---A listener was removed.
---@field on fun(self: net.EventEmitter, event: "removeListener", listener: fun(event: any, listener: function)): net.EventEmitter
---@field once fun(self: net.EventEmitter, event: "newListener", listener: fun(event: any, listener: function)): net.EventEmitter
---@field once fun(self: net.EventEmitter, event: "removeListener", listener: fun(event: any, listener: function)): net.EventEmitter
local EventEmitter = {}

---Adds a listener, after those that are there; the same function may be added again. More than 10 for one event print a
---warning to stderr, once: see `setMaxListeners`. An event's name is a string (a number becomes one), or any other
---value but nil.
---
---Raises `ERR_INVALID_ARG_TYPE` for a listener that is no function.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitteroneventname-listener)
---@param event any
---@param listener fun(...: any)
---@return self
function EventEmitter:on(event, listener) end

---Adds a listener for the next time only.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitteronceeventname-listener)
---@param event any
---@param listener fun(...: any)
---@return self
function EventEmitter:once(event, listener) end

---The same as `on`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitteraddlistenereventname-listener)
---@param event any
---@param listener fun(...: any)
---@return self
function EventEmitter:addListener(event, listener) end

---Adds a listener before those that are there. On a socket, as in Node, one for 'data' does not start the flow.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitterprependlistenereventname-listener)
---@param event any
---@param listener fun(...: any)
---@return self
function EventEmitter:prependListener(event, listener) end

---The same, for the next time only.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitterprependoncelistenereventname-listener)
---@param event any
---@param listener fun(...: any)
---@return self
function EventEmitter:prependOnceListener(event, listener) end

---Removes a listener, the one added last if it is there more than once. An event that is being emitted still reaches
---it.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitteroffeventname-listener)
---@param event any
---@param listener function
---@return self
function EventEmitter:off(event, listener) end

---The same as `off`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitterremovelistenereventname-listener)
---@param event any
---@param listener function
---@return self
function EventEmitter:removeListener(event, listener) end

---Removes all listeners of the event, or without one those of all events. cnet's own listeners go with them: a socket
---that is connecting may then never write what waits.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitterremovealllistenerseventname)
---@param event? any
---@return self
function EventEmitter:removeAllListeners(event) end

---Calls the listeners, and tells whether there were any. An 'error' that nobody listens to is raised: the very value if
---it has a string `message`, else `ERR_UNHANDLED_ERROR`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitteremiteventname-args)
---@param event any
---@param ... any
---@return boolean heard
function EventEmitter:emit(event, ...) end

---How many listeners the event has; with a function, how often it is among them.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitterlistenercounteventname-listener)
---@param event any
---@param listener? function
---@return integer
function EventEmitter:listenerCount(event, listener) end

---A new array of the event's listeners.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitterlistenerseventname)
---@param event any
---@return function[]
function EventEmitter:listeners(event) end

---The same, with the functions that stand for those added by `once`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emitterrawlistenerseventname)
---@param event any
---@return function[]
function EventEmitter:rawListeners(event) end

---A new array of the events that have listeners, in the order they first got one.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emittereventnames)
---@return any[]
function EventEmitter:eventNames() end

---From how many listeners on for one event a warning is printed; 0 for never.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emittersetmaxlistenersn)
---@param n number
---@return self
function EventEmitter:setMaxListeners(n) end

---10, unless it was set.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#emittergetmaxlisteners)
---@return number
function EventEmitter:getMaxListeners() end

-- ---- net.Server ----

---Options of `net.createServer` and `net.Server`.
---@class net.ServerOptions
---Leave our side of a connection open when the client has ended its own: then `socket:end_()` is the script's to call.
---@field allowHalfOpen? boolean
---Read nothing from a new connection until the script asks for it with `resume`, `read` or a 'data' listener and
---`resume`: for sockets that are handed to another process unread.
---@field pauseOnConnect? boolean
---Send small writes at once (TCP_NODELAY), on each connection.
---@field noDelay? boolean
---Let the kernel probe idle connections.
---@field keepAlive? boolean
---ms before the first probe, in whole seconds.
---@field keepAliveInitialDelay? number
---Bytes each half of a connection buffers before it pushes back. Default 65536.
---@field highWaterMark? number
---Clients with these addresses are closed at once, without an event.
---@field blockList? net.BlockList

---Options of `server:listen`: one of `port`, `path`, `fd`, `handle`.
---@class net.ListenOptions
---0 is any free port.
---@field port? integer|string
---An address or a name, which is looked up; of its addresses the first that is not link-local (fe80::) is taken.
---Without one: every address, IPv6 and IPv4.
---@field host? string
---The path of a Unix socket. One that begins with a NUL is an abstract name, on Linux.
---@field path? string
---A descriptor that is bound or listens already.
---@field fd? integer
---A net.Server, a net.Socket, a net.BoundSocket, a net.Native or `{ fd = n }`.
---@field handle? net.Server|net.Socket|net.BoundSocket|net.Native|net.FdHandle
---@field _handle? net.Server|net.Socket|net.BoundSocket|net.Native|net.FdHandle the same, as Node's objects have it
---How many connections the kernel holds until they are accepted. Default 511; the kernel has a limit of its own.
---@field backlog? integer|string
---In a worker of a cluster: do not share the port with the other workers.
---@field exclusive? boolean
---Listen beside other sockets with the same port (SO_REUSEPORT); in a cluster, past the primary.
---@field reusePort? boolean
---Leave IPv4 out, where `::` would take both.
---@field ipv6Only? boolean
---Let every user connect to the path for reading.
---@field readableAll? boolean
---Let every user connect to the path for writing, which connecting needs on Linux.
---@field writableAll? boolean
---Aborting closes the server.
---@field signal? AbortSignal

---A descriptor instead of an object that has one.
---@class net.FdHandle
---@field fd integer

---Of 'drop': who was dropped, and why. The addresses are nil where the kernel could not tell.
---@class net.DropInfo
---There were `maxConnections` already, or the server's `blockList` has the address. Not in Node.
---@field reason "maxConnections"|"blockList"
---@field localAddress? string
---@field localPort? integer
---@field localFamily? "IPv4"|"IPv6"
---@field remoteAddress? string
---@field remotePort? integer
---@field remoteFamily? "IPv4"|"IPv6"

---A TCP or Unix-socket server. It stays alive while it listens, without any reference from Lua. `local server <close> =
---net.createServer()` closes it at the end of the block. `tostring(server)` says where it listens.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#class-netserver)
---@class net.Server: net.EventEmitter
---@overload fun(options?: net.ServerOptions, listener?: fun(socket: net.Socket)): net.Server
---@overload fun(listener: fun(socket: net.Socket)): net.Server
---It is bound and listens: `server:address()` tells where.
---@field on fun(self: net.Server, event: "listening", listener: fun()): net.Server
---A client has connected.
---@field on fun(self: net.Server, event: "connection", listener: fun(socket: net.Socket)): net.Server
---It no longer listens and its last connection is gone. Also after a listen that failed, after 'error'.
---@field on fun(self: net.Server, event: "close", listener: fun()): net.Server
---It could not listen ('close' follows), or could not accept a client (it goes on). Unheard, it leaves `net.run()`.
---@field on fun(self: net.Server, event: "error", listener: fun(err: net.Error)): net.Server
---A client was let go: `info.reason` says why.
---@field on fun(self: net.Server, event: "drop", listener: fun(info?: net.DropInfo)): net.Server
---A listener of one of the server's sockets has raised an error that nothing caught: one of 'connection' for that
---socket or a callback of `write`, `end_` and the like too; or an 'error' of the socket had no listener. With this
---listener such an error does not leave `net.run()`: the other listeners of that event are not called, the socket is
---destroyed once this one returns, and everything else goes on. `net.run`'s handler has had the error first. What a
---`net.setTimeout` or `net.nextTick` of the script raises leaves `net.run()` as ever, and what this listener raises
---too. Not in Node.
---@field on fun(self: net.Server, event: "handlerError", listener: fun(err: any, socket: net.Socket)): net.Server
---@field on fun(self: net.Server, event: any, listener: fun(...: any)): net.Server
---@field once fun(self: net.Server, event: "listening", listener: fun()): net.Server
---@field once fun(self: net.Server, event: "connection", listener: fun(socket: net.Socket)): net.Server
---@field once fun(self: net.Server, event: "close", listener: fun()): net.Server
---@field once fun(self: net.Server, event: "error", listener: fun(err: net.Error)): net.Server
---@field once fun(self: net.Server, event: "drop", listener: fun(info?: net.DropInfo)): net.Server
---@field once fun(self: net.Server, event: "handlerError", listener: fun(err: any, socket: net.Socket)): net.Server
---@field once fun(self: net.Server, event: any, listener: fun(...: any)): net.Server
---Does it listen? Read-only. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#serverlistening)
---@field listening boolean
---How many connections it has at most; what comes beyond is let go, with 'drop': 0 lets nobody in, nil everybody.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#servermaxconnections)
---@field maxConnections any
---In a worker of a cluster: let go what is beyond `maxConnections`, instead of leaving it to another worker.
---@field dropMaxConnection boolean
---Deprecated, use `getConnections`: how many connections there are; nil once one was sent to another process. Reading
---it prints a line to stderr, once. Read-only.
---@field connections? integer
---What `options.allowHalfOpen` said: for the connections to come.
---@field allowHalfOpen boolean
---What `options.pauseOnConnect` said: for the connections to come.
---@field pauseOnConnect boolean
---What `options.noDelay` said: for the connections to come.
---@field noDelay boolean
---What `options.keepAlive` said: for the connections to come.
---@field keepAlive boolean
---What `options.keepAliveInitialDelay` said, but in seconds, as Node's property: for the connections to come.
---@field keepAliveInitialDelay integer
---What `options.highWaterMark` said: for the connections to come.
---@field highWaterMark integer
---The server itself while it listens: what `listen` of another server takes. Read-only.
---@field _handle? net.Server
local Server = {}

---Begins to listen; 'listening' or 'error' comes later, never inside the call. The forms:
---
---* `listen([port[, host[, backlog]]][, callback])`: port 0 or nil is any free one, also in front of a host:
---  `listen(nil, "127.0.0.1")`; a string of digits is a port too
---* `listen(path[, backlog][, callback])`: a Unix socket; `close` removes the file that was made for it, and no other
---* `listen(options[, callback])`
---* `listen(handle[, backlog][, callback])`: the handle of another server or socket, a net.BoundSocket, or `{ fd = n }`
---
---Raises `ERR_SERVER_ALREADY_LISTEN`, `ERR_SOCKET_BAD_PORT`, `ERR_INVALID_ARG_VALUE` for options without port and path,
---and for an IP address where the path belongs, with a port or without (Node makes a socket file of that name; as
---`{ path = ... }` it is one), `ERR_INVALID_ARG_TYPE` for a host that is no string or a signal that is none,
---`ERR_SOCKET_HANDLE_ADOPTED` for a net.BoundSocket that was used. Events: 'error' with EADDRINUSE, EACCES,
---EADDRNOTAVAIL, ENOTFOUND, EINVAL …
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#serverlisten)
---@param port? integer|string
---@param host? string
---@param backlog? integer|string
---@param callback? fun() a listener for 'listening', once
---@return self
---@overload fun(self: net.Server, port: integer|string, host: string, callback: fun()): net.Server
---@overload fun(self: net.Server, port: integer|string, backlog: integer, callback?: fun()): net.Server
---@overload fun(self: net.Server, port: integer|string, callback: fun()): net.Server
---@overload fun(self: net.Server, path: string, backlog: integer, callback?: fun()): net.Server
---@overload fun(self: net.Server, path: string, callback?: fun()): net.Server
---@overload fun(self: net.Server, options: net.ListenOptions, callback?: fun()): net.Server
---@overload fun(self: net.Server, handle: net.Server|net.Socket|net.BoundSocket|net.Native|net.FdHandle, backlog?: integer, callback?: fun()): net.Server
---@overload fun(self: net.Server, callback: fun()): net.Server
function Server:listen(port, host, backlog, callback) end

---Stops listening. Connections go on; 'close' comes when the last one is gone. The callback is a listener for 'close',
---and gets an error with `ERR_SERVER_NOT_RUNNING` if the server did not listen.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#serverclosecallback)
---@param callback? fun(err?: net.Error)
---@return self
function Server:close(callback) end

---Where it listens: a table for TCP, the path for a Unix socket, nil if it does not listen.
---
---Raises a system error if another holder of the handle has closed it.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#serveraddress)
---@return net.Address|string|nil
function Server:address() end

---Counts the connections, those in other processes too, and calls back later, never inside the call: `count` is nil if
---there is an error.
---
---Raises `ERR_INVALID_ARG_TYPE` without a callback. The callback may get `ERR_CHILD_CLOSED_BEFORE_REPLY`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#servergetconnectionscallback)
---@param callback fun(err?: net.Error, count?: integer)
---@return self
function Server:getConnections(callback) end

---Takes no more clients from the kernel, whose backlog they wait in, until `resume`: before or after `listen`, and
---over `close` and another `listen`. It still listens, and keeps the loop alive. One client may be taken already: its
---'connection' comes after `resume`. Servers that share a handle stop once all of them are paused. In a worker of a
---cluster the primary gives the clients to other workers; a primary of Node's does so too, once it has sent one, which
---waits in the worker. With `reusePort`, and without round robin, the kernel goes on giving the server its share of
---the clients. Not in Node.
---@return self
function Server:pause() end

---Ends a `pause`. Not in Node.
---@return self
function Server:resume() end

---Destroys every connection of the server in this process. Not in Node's net.
---@return self
function Server:closeAllConnections() end

---Destroys the connections on which nothing was sent or received for `ms` milliseconds. Not in Node's net.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`.
---@param ms number
---@return self
function Server:closeIdleConnections(ms) end

---Undoes `unref`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#serverref)
---@return self
function Server:ref() end

---Lets `net.run()` return although the server listens, if nothing else is alive. Its connections still keep the loop
---going.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#serverunref)
---@return self
function Server:unref() end

-- ---- net.Socket ----

---Options of `net.Socket`, which `net.connect` takes too.
---@class net.SocketOptions
---A descriptor of a TCP connection or a pipe that is open already: the socket takes it over.
---@field fd? integer
---A net.BoundSocket: the socket is not connected, and connects from there. Or a net.Native: a connection that came from
---another process.
---@field handle? net.BoundSocket|net.Native
---Leave our side open when the other party has ended its own.
---@field allowHalfOpen? boolean
---false: nothing is ever read.
---@field readable? boolean
---false: nothing is ever written.
---@field writable? boolean
---With `fd` or `handle`: read nothing until the script asks for it.
---@field pauseOnCreate? boolean
---With `fd` or `handle`: do not begin to read by itself.
---@field manualStart? boolean
---Send small writes at once (TCP_NODELAY).
---@field noDelay? boolean
---Let the kernel probe an idle connection.
---@field keepAlive? boolean
---ms before the first probe, in whole seconds.
---@field keepAliveInitialDelay? number
---The type-of-service byte of what is sent, 0 to 255, as `setTypeOfService` takes it.
---@field typeOfService? integer
---Bytes each half buffers before it pushes back. Default 65536.
---@field highWaterMark? integer
---The same for what is read.
---@field readableHighWaterMark? integer
---The same for what is written.
---@field writableHighWaterMark? integer
---What is read comes as text of this encoding, as after `setEncoding`.
---@field encoding? net.Encoding
---The encoding of a `write` that names none, as after `setDefaultEncoding`.
---@field defaultEncoding? net.Encoding
---Addresses it must not connect to: 'error' with ERR_IP_BLOCKED.
---@field blockList? net.BlockList
---Aborting destroys the socket, with an AbortError.
---@field signal? AbortSignal

---Options of `net.connect` and `socket:connect`: `port`, or `path`.
---@class net.ConnectOptions: net.SocketOptions
---@field port? integer|string
---An address or a name. Default "localhost".
---@field host? string
---The path of a Unix socket. One that begins with a NUL is an abstract name, on Linux. It goes before `port`.
---@field path? string
---The address to connect from.
---@field localAddress? string
---The port to connect from.
---@field localPort? integer
---Addresses of one family only: 4 or 6; 0, the default, for both.
---@field family? 0|4|6|"IPv4"|"IPv6"
---Flags for the lookup, getaddrinfo's AI_ADDRCONFIG and so on.
---@field hints? integer
---Looks the name up instead of the system.
---@field lookup? net.Lookup
---Try the addresses of a name in turn, those of IPv6 and IPv4 alternating, until one answers (RFC 8305). Default true.
---@field autoSelectFamily? boolean
---ms for each of those attempts before the next one begins, at least 10. Default 500.
---@field autoSelectFamilyAttemptTimeout? integer
---ms for connecting in all, the lookup included: then 'error' with ETIMEDOUT. Default: the kernel's patience. Not in
---Node's net.
---@field connectTimeout? number
---Only of `net.connect`: what `socket:setTimeout` takes.
---@field timeout? number

---A function in the place of the system's lookup. It calls back, now or later, with an error, or with `nil`, an address
---and its family (4 or 6); with nil and a list of `{ address =, family = }` if `options.all` is true.
---@alias net.Lookup fun(hostname: string, options: net.LookupOptions, callback: fun(err: any, address?: string|net.LookupAddress[], family?: 4|6))

---@class net.LookupOptions
---@field family? integer|string
---@field hints integer
---@field all? boolean

---@class net.LookupAddress
---@field address string
---@field family 4|6

---@class net.KeepAliveOptions
---Default false.
---@field enable? boolean
---ms before the first probe, in whole seconds.
---@field initialDelay? number
---ms between probes, in whole seconds.
---@field interval? number
---How many probes without an answer end the connection.
---@field count? integer

---@class net.PipeOptions
---false: do not end the destination when the source has ended. `["end"] = false`, since `end` is a keyword.
---@field end? boolean
---The same.
---@field end_? boolean

---Where `socket:pipe` writes to: a socket, or an emitter of the script's with these methods. 'drain' of it lets the
---source go on.
---@class net.Writable: net.EventEmitter
---@field write fun(self: any, chunk: string): any false: wait for 'drain'
---@field end_ fun(self: any)

---Of `socket:getPeerCredentials()`.
---@class net.Credentials
---The process; 0 for one that this process cannot see, as from inside a container.
---@field pid integer
---@field uid integer
---@field gid integer

---A TCP connection or a Unix socket. It stays alive while it is open, without any reference from Lua. `local socket
---<close> = ...` destroys it at the end of the block. `tostring(socket)` says who the other party is.
---
---It is Node's stream.Duplex: what Node's pages of net and stream say of it holds, but for object mode, async iteration
---and the like.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#class-netsocket)
---@class net.Socket: net.EventEmitter
---@overload fun(options?: net.SocketOptions|integer): net.Socket
---A name was looked up: for each address, or once with the error.
---@field on fun(self: net.Socket, event: "lookup", listener: fun(err: any, address?: string, family?: integer, host: string)): net.Socket
---An address is about to be tried. `port` and `family` are nil for a path.
---@field on fun(self: net.Socket, event: "connectionAttempt", listener: fun(address: string, port?: integer, family?: 4|6)): net.Socket
---An address could not be reached; another one may be tried next.
---@field on fun(self: net.Socket, event: "connectionAttemptFailed", listener: fun(address: string, port?: integer, family?: 4|6, err: net.Error)): net.Socket
---An address did not answer in time; the next one is tried.
---@field on fun(self: net.Socket, event: "connectionAttemptTimeout", listener: fun(address: string, port: integer, family: 4|6)): net.Socket
---The connection is there.
---@field on fun(self: net.Socket, event: "connect", listener: fun()): net.Socket
---The same, right after 'connect'.
---@field on fun(self: net.Socket, event: "ready", listener: fun()): net.Socket
---Bytes have come, or text after `setEncoding`. A listener makes the socket flow.
---@field on fun(self: net.Socket, event: "data", listener: fun(chunk: string)): net.Socket
---There is something to `read()`, or the end. A listener stops the flow.
---@field on fun(self: net.Socket, event: "readable", listener: fun()): net.Socket
---The other party has ended its side, and all it sent was read. Without `allowHalfOpen` our side is ended next.
---@field on fun(self: net.Socket, event: "end", listener: fun()): net.Socket
---The flow stops.
---@field on fun(self: net.Socket, event: "pause", listener: fun()): net.Socket
---The flow goes on.
---@field on fun(self: net.Socket, event: "resume", listener: fun()): net.Socket
---All that was written is with the kernel, after a `write` that gave false: write on.
---@field on fun(self: net.Socket, event: "drain", listener: fun()): net.Socket
---The end of our side was sent; 'finish' comes next.
---@field on fun(self: net.Socket, event: "prefinish", listener: fun()): net.Socket
---`end_` was called, and all is with the kernel.
---@field on fun(self: net.Socket, event: "finish", listener: fun()): net.Socket
---A stream was piped to this one.
---@field on fun(self: net.Socket, event: "pipe", listener: fun(source: net.Socket)): net.Socket
---A stream is no longer piped to this one.
---@field on fun(self: net.Socket, event: "unpipe", listener: fun(source: net.Socket, info: { hasUnpiped: boolean })): net.Socket
---Nothing was sent or received for the time that `setTimeout` was given. The socket stays open: destroy it, or not.
---@field on fun(self: net.Socket, event: "timeout", listener: fun()): net.Socket
---Something went wrong; 'close' follows. Unheard, it leaves `net.run()`.
---@field on fun(self: net.Socket, event: "error", listener: fun(err: net.Error)): net.Socket
---It is closed, and no further event comes. `hadError` is nil for one that never began to connect.
---@field on fun(self: net.Socket, event: "close", listener: fun(hadError?: boolean)): net.Socket
---@field on fun(self: net.Socket, event: any, listener: fun(...: any)): net.Socket
---@field once fun(self: net.Socket, event: "lookup", listener: fun(err: any, address?: string, family?: integer, host: string)): net.Socket
---@field once fun(self: net.Socket, event: "connectionAttempt", listener: fun(address: string, port?: integer, family?: 4|6)): net.Socket
---@field once fun(self: net.Socket, event: "connectionAttemptFailed", listener: fun(address: string, port?: integer, family?: 4|6, err: net.Error)): net.Socket
---@field once fun(self: net.Socket, event: "connectionAttemptTimeout", listener: fun(address: string, port: integer, family: 4|6)): net.Socket
---@field once fun(self: net.Socket, event: "connect", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "ready", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "data", listener: fun(chunk: string)): net.Socket
---@field once fun(self: net.Socket, event: "readable", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "end", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "pause", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "resume", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "drain", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "prefinish", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "finish", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "pipe", listener: fun(source: net.Socket)): net.Socket
---@field once fun(self: net.Socket, event: "unpipe", listener: fun(source: net.Socket, info: { hasUnpiped: boolean })): net.Socket
---@field once fun(self: net.Socket, event: "timeout", listener: fun()): net.Socket
---@field once fun(self: net.Socket, event: "error", listener: fun(err: net.Error)): net.Socket
---@field once fun(self: net.Socket, event: "close", listener: fun(hadError?: boolean)): net.Socket
---@field once fun(self: net.Socket, event: any, listener: fun(...: any)): net.Socket
---Is it connecting? Read-only, as all of these but `allowHalfOpen` and `timeout`.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketconnecting)
---@field connecting boolean
---Is there no connection yet (or any more)? [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketpending)
---@field pending boolean
---What it is doing, in one word. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketreadystate)
---@field readyState "opening"|"open"|"readOnly"|"writeOnly"|"closed"
---Was it destroyed? No further bytes come or go then.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketdestroyed)
---@field destroyed boolean
---Has it been closed? [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readableclosed)
---@field closed boolean
---The error it was destroyed with. [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readableerrored)
---@field errored any
---Leave our side open when the other party has ended its own? May be assigned.
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#duplexallowhalfopen)
---@field allowHalfOpen boolean
---The server that accepted it.
---@field server? net.Server
---The socket itself while it has a handle: what `server:listen` takes.
---@field _handle? net.Socket
---Where it is here. nil unless it is connected, and on Unix sockets.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketlocaladdress)
---@field localAddress? string
---The port here. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketlocalport)
---@field localPort? integer
---The family of the address here. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketlocalfamily)
---@field localFamily? "IPv4"|"IPv6"
---Who the other party is. nil unless it is connected, and on Unix sockets; kept after the close if it was read before.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketremoteaddress)
---@field remoteAddress? string
---The other party's port. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketremoteport)
---@field remotePort? integer
---The family of the other party's address. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketremotefamily)
---@field remoteFamily? "IPv4"|"IPv6"
---Bytes received. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketbytesread)
---@field bytesRead integer
---Bytes written, those that still wait included.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketbyteswritten)
---@field bytesWritten integer
---Deprecated, use `writableLength`. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketbuffersize)
---@field bufferSize? integer
---What `setTimeout` was given, in ms. `socket.timeout = ms` does the same, and nil turns it off.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#sockettimeout)
---@field timeout? number
---"address:port" of each address that was tried, if there was a choice.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketautoselectfamilyattemptedaddresses)
---@field autoSelectFamilyAttemptedAddresses? string[]
---May `read` be called? [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadable)
---@field readable boolean
---Has 'end' been emitted? [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadableended)
---@field readableEnded boolean
---Was it destroyed before 'end'? [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadableaborted)
---@field readableAborted boolean
---Was anything handed to the script: by 'data' or `read`?
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadabledidread)
---@field readableDidRead boolean
---Does it flow? nil: nobody has said yet what to do with what comes.
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadableflowing)
---@field readableFlowing? boolean
---Bytes that wait to be read. [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadablelength)
---@field readableLength integer
---From how many bytes on nothing more is read from the kernel.
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadablehighwatermark)
---@field readableHighWaterMark integer
---What `setEncoding` was given. [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadableencoding)
---@field readableEncoding? net.Encoding
---May `write` be called? [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablewritable)
---@field writable boolean
---Has `end_` been called? [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablewritableended)
---@field writableEnded boolean
---Is all with the kernel, after `end_`?
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablewritablefinished)
---@field writableFinished boolean
---Bytes that wait to be sent. [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablewritablelength)
---@field writableLength integer
---From how many bytes on `write` gives false.
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablewritablehighwatermark)
---@field writableHighWaterMark integer
---Will there be a 'drain'? [Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablewritableneeddrain)
---@field writableNeedDrain boolean
---How often `cork` must still be undone.
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablewritablecorked)
---@field writableCorked integer
local Socket = {}

---Connects; 'connect' or 'error' comes later. A socket that was closed may connect again: its listeners, its encoding
---and whether it is paused stay, and what was not read or not written before is lost. The forms:
---
---* `connect(port[, host][, callback])`: host is "localhost" unless said otherwise
---* `connect(path[, callback])`: a Unix socket
---* `connect(options[, callback])`
---
---Raises `ERR_MISSING_ARGS`, `ERR_SOCKET_BAD_PORT`, `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`,
---`ERR_INVALID_IP_ADDRESS` for `localAddress`. Events: 'error' with ECONNREFUSED, ETIMEDOUT, ENOTFOUND, EHOSTUNREACH,
---ENOENT (no such path), EACCES, ERR_IP_BLOCKED …, or an AggregateError if several addresses were tried.
---
---`ERR_INVALID_ARG_VALUE` has what Node takes for a path: an IP address in its place, with a port or without, and any
---string before a number. `{ path = "127.0.0.1" }` is a path.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketconnect)
---@param port integer|string
---@param host? string
---@param callback? fun() a listener for 'connect', once
---@return self
---@overload fun(self: net.Socket, port: integer|string, callback: fun()): net.Socket
---@overload fun(self: net.Socket, path: string, callback?: fun()): net.Socket
---@overload fun(self: net.Socket, options: net.ConnectOptions, callback?: fun()): net.Socket
function Socket:connect(port, host, callback) end

---Sends bytes, once there is a connection. Gives false when `writableHighWaterMark` bytes or more wait: what is written
---is kept all the same, but a script that goes on fills the memory. Wait for 'drain' then.
---
---The callback is called once the bytes are with the kernel, or with the error that kept them from it: ECANCELED for a
---write that `destroy` cut off, and for those queued behind it if the socket has no error of its own.
---
---Raises `ERR_INVALID_ARG_TYPE` for what is no string (a number too), `ERR_STREAM_NULL_VALUES` for nil,
---`ERR_UNKNOWN_ENCODING`. After `end_` or `destroy`: 'error' with `ERR_STREAM_WRITE_AFTER_END`, nothing but the
---callback with `ERR_STREAM_DESTROYED`. After the other party's end, without `allowHalfOpen`: 'error' with EPIPE.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketwritedata-encoding-callback)
---@param data string
---@param encoding? net.Encoding
---@param callback? fun(err?: net.Error)
---@return boolean more
---@overload fun(self: net.Socket, data: string, callback: fun(err?: net.Error)): boolean
function Socket:write(data, encoding, callback) end

---Ends our side: what was written is sent, then the other party gets its 'end' (a half-close). Reading goes on. With
---data: writes it first. The callback is called at 'finish', or with the error that kept it from it.
---
---Named so because `end` is a keyword; `socket["end"](socket)` is the same function.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_UNKNOWN_ENCODING`. The callback may get `ERR_STREAM_ALREADY_FINISHED`,
---`ERR_STREAM_DESTROYED`, ECANCELED or the socket's own error.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketenddata-encoding-callback)
---@param data? string
---@param encoding? net.Encoding
---@param callback? fun(err?: net.Error)
---@return self
---@overload fun(self: net.Socket, data: string, callback: fun(err?: net.Error)): net.Socket
---@overload fun(self: net.Socket, callback: fun(err?: net.Error)): net.Socket
function Socket:end_(data, encoding, callback) end

---@private the same function as `end_`
Socket["end"] = Socket.end_

---Closes at once: what is not sent yet is lost, and nothing more is read. With an error: 'error' comes before 'close'.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketdestroyerror)
---@param err? any
---@return self
function Socket:destroy(err) end

---Destroys the socket once all that was written is with the kernel.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketdestroysoon)
function Socket:destroySoon() end

---Closes a TCP connection by a reset: the other party gets ECONNRESET. One that is connecting is reset once it is
---connected; one that is closed is destroyed with `ERR_SOCKET_CLOSED`.
---
---Raises `ERR_INVALID_HANDLE_TYPE` on a Unix socket.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketresetanddestroy)
---@return self
function Socket:resetAndDestroy() end

---Takes `size` bytes, or all, out of what was read; nil if there is not so much (at the end: what is left). With
---`setEncoding "utf8"` it may be a few bytes more, so as not to cut a character.
---
---Raises `ERR_OUT_OF_RANGE` above 1 GiB.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablereadsize)
---@param size? number
---@return string|nil
function Socket:read(size) end

---Puts bytes back, in front of what waits to be read. nil ends reading. Gives false if that is enough for now.
---
---After 'end': 'error' with `ERR_STREAM_UNSHIFT_AFTER_END_EVENT`. For what is no string: 'error' with
---`ERR_INVALID_ARG_TYPE`. Raises `ERR_UNKNOWN_ENCODING`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readableunshiftchunk-encoding)
---@param chunk string|nil
---@param encoding? net.Encoding
---@return boolean more
function Socket:unshift(chunk, encoding) end

---Stops the flow: no 'data' comes, and once `readableHighWaterMark` bytes wait here, the other party is not read
---either.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketpause)
---@return self
function Socket:pause() end

---Lets it flow on.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketresume)
---@return self
function Socket:resume() end

---Was it paused?
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readableispaused)
---@return boolean
function Socket:isPaused() end

---What `chunk` is from now on: text in this encoding ("utf8" by default), instead of the bytes as they came.
---
---Raises `ERR_UNKNOWN_ENCODING`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketsetencodingencoding)
---@param encoding? net.Encoding
---@return self
function Socket:setEncoding(encoding) end

---The encoding of what is written without one.
---
---Raises `ERR_UNKNOWN_ENCODING`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablesetdefaultencodingencoding)
---@param encoding net.Encoding
---@return self
function Socket:setDefaultEncoding(encoding) end

---Holds back what is written until `uncork`, so that it is sent together.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writablecork)
function Socket:cork() end

---Undoes one `cork`. `end_` undoes all of them.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#writableuncork)
function Socket:uncork() end

---Writes all that comes to the destination, no faster than it takes it, and ends it at the end. An error of the source
---does not end the destination: listen to 'error' and 'close' of both.
---
---Raises `ERR_INVALID_ARG_TYPE` for what is no emitter.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readablepipedestination-options)
---@generic T: net.Writable
---@param destination T
---@param options? net.PipeOptions
---@return T destination
function Socket:pipe(destination, options) end

---Stops `pipe`, to this destination or to all.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/stream.html#readableunpipedestination)
---@param destination? net.Writable
---@return self
function Socket:unpipe(destination) end

---Emits 'timeout' when nothing was sent or received for `ms` milliseconds; 0 for never, as in the beginning. The
---connection stays open. The callback is a listener for 'timeout', once.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketsettimeouttimeout-callback)
---@param ms number
---@param callback? fun()
---@return self
function Socket:setTimeout(ms, callback) end

---Sends small writes at once (TCP_NODELAY), or, with false, lets the kernel gather them. Before the connection too.
---
---A write of 16 KiB or more goes at once in either case, its tail too, where Node lets the tail wait until the peer has
---acknowledged what went before: cnet sets TCP_NODELAY for it, and takes it back before the next shorter write.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketsetnodelaynodelay)
---@param noDelay? boolean
---@return self
function Socket:setNoDelay(noDelay) end

---Lets the kernel probe an idle connection: `initialDelay` ms after its last sign of life, then every `interval` ms,
---and after `count` probes without an answer it is given up. The times count in whole seconds. Without an interval it
---probes every second, without a count ten times; if one of the three is 0, as the initialDelay is if it is left out,
---the system's values hold. Before the connection too. One table may have all: `setKeepAlive { enable = true, ... }`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketsetkeepaliveenable-initialdelay-interval-count)
---@param enable? boolean|net.KeepAliveOptions
---@param initialDelay? number
---@param interval? number
---@param count? integer
---@return self
function Socket:setKeepAlive(enable, initialDelay, interval, count) end

---Sets the type-of-service byte of what is sent (traffic class with IPv6), 0 to 255.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, or a system error: EBADF while a socket that connects has no
---descriptor yet, though the number counts once it is connected. The option `typeOfService` is simpler.
---@param tos integer
---@return self
function Socket:setTypeOfService(tos) end

---The type-of-service byte.
---@return integer
function Socket:getTypeOfService() end

---Sets how many bytes that have come the kernel keeps for the socket (SO_RCVBUF); by default it finds a size by itself.
---Before `connect` it is kept, and set in time for TCP's window. Linux sets twice the number, for its own needs, and
---that is what `getRecvBufferSize` then gives; it does not set more than net.core.rmem_max. The name is that of Node's
---dgram.
---
---Raises `ERR_SOCKET_BAD_BUFFER_SIZE`, `ERR_SOCKET_BUFFER_SIZE`.
---@param size integer
---@return self
function Socket:setRecvBufferSize(size) end

---The same for what is to be sent (SO_SNDBUF, net.core.wmem_max).
---
---Raises `ERR_SOCKET_BAD_BUFFER_SIZE`, `ERR_SOCKET_BUFFER_SIZE`.
---@param size integer
---@return self
function Socket:setSendBufferSize(size) end

---The size of that buffer. Without a connection, what was set, or nil.
---
---Raises `ERR_SOCKET_BUFFER_SIZE`.
---@return integer?
function Socket:getRecvBufferSize() end

---The same for what is to be sent.
---
---Raises `ERR_SOCKET_BUFFER_SIZE`.
---@return integer?
function Socket:getSendBufferSize() end

---Who is at the other end of a Unix socket, as the kernel knows it: the process that connected, or that began to
---listen, at that time. nil of a TCP socket, and of one that is not connected (any more). Not in Node.
---
---Raises a system error.
---@return net.Credentials?
function Socket:getPeerCredentials() end

---Where it is here: an empty table unless it is connected by TCP.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketaddress)
---@return net.Address
function Socket:address() end

---Undoes `unref`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketref)
---@return self
function Socket:ref() end

---Lets `net.run()` return although the socket is open, if nothing else is alive.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketunref)
---@return self
function Socket:unref() end

-- ---- timers ----

---What `net.setTimeout` and `net.setInterval` give. `local timer <close> = ...` clears it at the end of the block.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#class-timeout)
---@class Timeout
local Timeout = {}

---Begins its time anew, also after it has fired.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#timeoutrefresh)
---@return self
function Timeout:refresh() end

---Undoes `unref`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#timeoutref)
---@return self
function Timeout:ref() end

---Lets `net.run()` return although it has not fired, if nothing else is alive.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#timeoutunref)
---@return self
function Timeout:unref() end

---Does it keep the loop going?
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#timeouthasref)
---@return boolean
function Timeout:hasRef() end

---Clears it.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#timeoutclose)
---@return self
function Timeout:close() end

---What `net.setImmediate` gives.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#class-immediate)
---@class Immediate
local Immediate = {}

---Undoes `unref`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#immediateref)
---@return self
function Immediate:ref() end

---Lets `net.run()` return although it has not run, if nothing else is alive.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#immediateunref)
---@return self
function Immediate:unref() end

---Does it keep the loop going?
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#immediatehasref)
---@return boolean
function Immediate:hasRef() end

-- ---- AbortController ----

---`local controller = net.AbortController()`; `controller.signal` goes into the `signal` option of `listen`,
---`net.connect` and `fork`, and `controller:abort()` ends all of them.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/globals.html#class-abortcontroller)
---@class AbortController
---@overload fun(): AbortController
---What the `signal` options take. Read-only.
---@field signal AbortSignal
local AbortController = {}

---Aborts, once. The reason is an AbortError unless one is given.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/globals.html#abortcontrollerabortreason)
---@param reason? any
function AbortController:abort(reason) end

---@class AbortEvent
---@field type "abort"
---@field target AbortSignal

---Of an AbortController. An error in one of its listeners does not keep the others from hearing the event.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/globals.html#class-abortsignal)
---@class AbortSignal: net.EventEmitter
---The controller has aborted.
---@field on fun(self: AbortSignal, event: "abort", listener: fun(event: AbortEvent)): AbortSignal
---@field on fun(self: AbortSignal, event: any, listener: fun(...: any)): AbortSignal
---@field once fun(self: AbortSignal, event: "abort", listener: fun(event: AbortEvent)): AbortSignal
---@field once fun(self: AbortSignal, event: any, listener: fun(...: any)): AbortSignal
---Has the controller aborted? Read-only.
---[Node](https://nodejs.org/docs/latest-v26.x/api/globals.html#abortsignalaborted)
---@field aborted boolean
---What `abort` was given, or an AbortError; nil before. Read-only.
---[Node](https://nodejs.org/docs/latest-v26.x/api/globals.html#abortsignalreason)
---@field reason any
---One listener for 'abort', as a field.
---[Node](https://nodejs.org/docs/latest-v26.x/api/globals.html#abortsignalonabort)
---@field onabort? fun(event: AbortEvent)
local AbortSignal = {}

---Raises the reason if it is aborted.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/globals.html#abortsignalthrowifaborted)
function AbortSignal:throwIfAborted() end

---Adds a listener, unless it is there.
---
---Raises `ERR_MISSING_ARGS`, `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#eventtargetaddeventlistenertype-listener-options)
---@param type string
---@param listener fun(event: AbortEvent)
---@param options? { once?: boolean }
function AbortSignal:addEventListener(type, listener, options) end

---Removes a listener.
---
---Raises `ERR_MISSING_ARGS`, `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#eventtargetremoveeventlistenertype-listener-options)
---@param type string
---@param listener fun(event: AbortEvent)
function AbortSignal:removeEventListener(type, listener) end

-- ---- net.BoundSocket ----

---Options of `net.BoundSocket`: a host and a port, or a path.
---@class net.BoundSocketOptions
---An IP address; a name is not looked up. Default: 0.0.0.0, or with `ipv6Only` `::`.
---@field host? string
---0, the default, is any free port.
---@field port? integer|string
---The path of a Unix socket, with no other option. One that begins with a NUL is an abstract name, on Linux.
---@field path? string
---Leave IPv4 out, where `::` would take both.
---@field ipv6Only? boolean
---Bind beside other sockets with the same port (SO_REUSEPORT).
---@field reusePort? boolean

---A socket that is bound to an address, and neither listens nor connects yet: its port is known before anybody uses it.
---It serves once: in `server:listen(bound)`, in `net.Socket({ handle = bound })`, or sent to another process. If nobody
---uses it, close it, as `local bound <close> = ...` does; one that is forgotten is closed when it is collected. It does
---not keep the loop going.
---
---Making one raises `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_SOCKET_BAD_PORT`, and system errors, as
---EADDRINUSE: at once, not by an 'error' event.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#class-netboundsocket)
---@class net.BoundSocket
---@overload fun(options?: net.BoundSocketOptions): net.BoundSocket
---Is it bound to a path? Read-only. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#boundsocketispipe)
---@field isPipe boolean
local BoundSocket = {}

---Where it is bound: a table, or the path.
---
---Raises `ERR_SOCKET_HANDLE_ADOPTED` once it is used or closed.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#boundsocketaddress)
---@return net.Address|string
function BoundSocket:address() end

---Its descriptor, which stays its own.
---
---Raises `ERR_SOCKET_HANDLE_ADOPTED` once it is used or closed.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#boundsocketfd)
---@return integer
function BoundSocket:fd() end

---Closes it, and removes the file of its path.
---
---Raises `ERR_SOCKET_HANDLE_ADOPTED` once it is used or closed.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#boundsocketclose)
function BoundSocket:close() end

-- ---- addresses ----

---@alias net.IPFamily "ipv4"|"ipv6"

---@class net.SocketAddressOptions
---Default: 127.0.0.1, or `::`.
---@field address? string
---Default "ipv4".
---@field family? net.IPFamily
---Default 0.
---@field port? integer|string
---Of IPv6. Default 0.
---@field flowlabel? integer

---An address and a port, checked. Its fields are read-only.
---
---Raises `ERR_INVALID_ADDRESS`, `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_SOCKET_BAD_PORT`,
---`ERR_OUT_OF_RANGE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#class-netsocketaddress)
---@class net.SocketAddress
---@overload fun(options?: net.SocketAddressOptions): net.SocketAddress
---The IP address, in its shortest form. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketaddressaddress)
---@field address string
---The family of the address. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketaddressfamily)
---@field family net.IPFamily
---0 unless one was given. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketaddressport)
---@field port integer
---0 unless one was given, and with IPv4.
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#socketaddressflowlabel)
---@field flowlabel integer
local SocketAddress = {}

---Reads "1.2.3.4:80" or "[::1]:80"; nil if it is neither.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---@param input string
---@return net.SocketAddress|nil
function SocketAddress.parse(input) end

---Is the value a net.SocketAddress?
---@param value any
---@return boolean
function SocketAddress.isSocketAddress(value) end

---The fields as a table.
---@return { address: string, family: net.IPFamily, port: integer, flowlabel: integer }
function SocketAddress:toJSON() end

---Addresses that a server or a socket has nothing to do with. Wherever an address is wanted, a net.SocketAddress will
---do; its port and flow label do not count, except that a subnet or a range is only removed with those it was added
---with.
---
---A single address or a subnet is found in the same time however many there are; ranges are tried one by one.
---
---Everything that adds or removes raises `ERR_INVALID_ADDRESS`, `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE` or
---`ERR_OUT_OF_RANGE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#class-netblocklist)
---@class net.BlockList
---@overload fun(): net.BlockList
---A new array of texts like "Subnet: IPv4 10.0.0.0/8": single addresses, then subnets, then ranges, each with the
---newest first. Read-only. [Node](https://nodejs.org/docs/latest-v26.x/api/net.html#blocklistrules)
---@field rules string[]
---How many rules there are. Read-only.
---@field size integer
---The private, loopback and link-local networks, for `addCIDRs`: `list:addCIDRs(net.BlockList.PRIVATE_RANGES)`. The
---array cannot be changed.
---@field PRIVATE_RANGES string[]
local BlockList = {}

---Blocks one address. Adding it again changes nothing, even as IPv4-mapped IPv6: it remains one rule.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#blocklistaddaddressaddress-type)
---@param address string|net.SocketAddress
---@param family? net.IPFamily default "ipv4"
function BlockList:addAddress(address, family) end

---Blocks many addresses; none if one of them is not an address.
---@param addresses (string|net.SocketAddress)[]
---@param family? net.IPFamily default "ipv4"
function BlockList:addAddresses(addresses, family) end

---Blocks the addresses from one to another, both included.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#blocklistaddrangestart-end-type)
---@param start string|net.SocketAddress
---@param last string|net.SocketAddress
---@param family? net.IPFamily default "ipv4"
function BlockList:addRange(start, last, family) end

---Blocks a network.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#blocklistaddsubnetnet-prefix-type)
---@param network string|net.SocketAddress
---@param prefix integer bits: 0 to 32, with IPv6 to 128
---@param family? net.IPFamily default "ipv4"
function BlockList:addSubnet(network, prefix, family) end

---Blocks a network: "10.0.0.0/8", "fe80::/10".
---@param cidr string
function BlockList:addCIDR(cidr) end

---Blocks many networks. As in Node, an entry without the form "network/prefix" raises before any is added, whereas a
---wrong address or prefix raises after those before it were added.
---@param cidrs string[]
function BlockList:addCIDRs(cidrs) end

---Removes a single address, whether it was added as IPv4 or as IPv4-mapped IPv6. Subnets and ranges that hold it stay.
---Like the other removers it does nothing if there is no such rule.
---@param address string|net.SocketAddress
---@param family? net.IPFamily
function BlockList:removeAddress(address, family) end

---Removes the newest rule that `addRange` made with these arguments; an older duplicate stays.
---@param start string|net.SocketAddress
---@param last string|net.SocketAddress
---@param family? net.IPFamily
function BlockList:removeRange(start, last, family) end

---Removes the newest rule that `addSubnet` made with these arguments: "11.0.0.0" does not remove "11.1.1.1", although
---with a prefix of 8 they are the same network.
---@param network string|net.SocketAddress
---@param prefix integer
---@param family? net.IPFamily
function BlockList:removeSubnet(network, prefix, family) end

---`removeSubnet` for a network written as "10.0.0.0/8".
---@param cidr string
function BlockList:removeCIDR(cidr) end

---Removes all rules.
function BlockList:clear() end

---Is the address blocked? Text that is not an address of the family is not blocked, and neither is anything of an
---unknown family.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#blocklistcheckaddress-type)
---@param address string|net.SocketAddress
---@param family? net.IPFamily default "ipv4"
---@return boolean
function BlockList:check(address, family) end

---The same as `rules`.
---@return string[]
function BlockList:toJSON() end

---Adds the rules that `toJSON` gave, or that are in the JSON text of such an array. Text that names no rule is ignored;
---a rule that is wrong raises, and those before it are kept. JSON text that is malformed raises a SyntaxError without a
---code.
---@param data string|string[]
function BlockList:fromJSON(data) end

---Is the value a net.BlockList?
---@param value any
---@return boolean
function BlockList.isBlockList(value) end

-- ---- net.process ----

---A handle that came from another process with a message and that nobody has taken yet. `net.Socket({ handle = native
---})` and `server:listen(native)` take it; one that is collected is closed.
---@class net.Native
---Its descriptor; -1 once it is taken or closed. Read-only.
---@field fd integer
local Native = {}

---Closes it.
function Native:close() end

---The channel to another process.
---@class net.Channel
---Its descriptor, nil once it is closed. Read-only.
---@field fd? integer
local Channel = {}

---Lets the channel keep the loop going.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processchannelref)
function Channel:ref() end

---Lets `net.run()` return although the channel is open, if nothing else is alive.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processchannelunref)
function Channel:unref() end

---What can be sent to another process: a string, a number, a boolean, or a table of them. A table is an array if it has
---elements 1 to n and nothing else. A value whose metatable has `__tojson` is sent as the JSON text that this function
---returns: "null" for example. Text that is not UTF-8, functions and the like are `ERR_INVALID_ARG_VALUE`.
---@alias net.Message string|number|boolean|table

---What goes along with a message.
---@alias net.SendHandle net.Server|net.Socket|net.BoundSocket|net.Native

---@class net.SendOptions
---Keep the socket open here too. A net.BoundSocket is used up all the same.
---@field keepOpen? boolean

---@alias net.SignalName
---| "SIGHUP"
---| "SIGINT"
---| "SIGQUIT"
---| "SIGTERM"
---| "SIGUSR1"
---| "SIGUSR2"
---| "SIGPIPE"
---| "SIGCHLD"
---| "SIGCONT"
---| "SIGTSTP"
---| "SIGWINCH"

---This process: `net.process`. A signal is an event of its name: `net.process:on("SIGTERM", stop)`. A listener takes
---the place of what the signal does by itself, until the last one is removed; it keeps nothing alive.
---
---`send`, `disconnect`, `connected`, `channel` and their events are there if this process was forked with a channel, by
---`cnet.child_process` or Node.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/process.html)
---@class net.process: net.EventEmitter
---The signal has come.
---@field on fun(self: net.process, event: net.SignalName, listener: fun(signal: string, number: integer)): net.process
---`net.process:exit` was called.
---@field on fun(self: net.process, event: "exit", listener: fun(code: integer)): net.process
---The parent has sent something. Messages wait until somebody listens.
---@field on fun(self: net.process, event: "message", listener: fun(message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): net.process
---The channel has ended.
---@field on fun(self: net.process, event: "disconnect", listener: fun()): net.process
---Something is wrong with the channel.
---@field on fun(self: net.process, event: "error", listener: fun(err: net.Error)): net.process
---@field on fun(self: net.process, event: any, listener: fun(...: any)): net.process
---@field once fun(self: net.process, event: net.SignalName, listener: fun(signal: string, number: integer)): net.process
---@field once fun(self: net.process, event: "exit", listener: fun(code: integer)): net.process
---@field once fun(self: net.process, event: "message", listener: fun(message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): net.process
---@field once fun(self: net.process, event: "disconnect", listener: fun()): net.process
---@field once fun(self: net.process, event: "error", listener: fun(err: net.Error)): net.process
---@field once fun(self: net.process, event: any, listener: fun(...: any)): net.process
---The number of this process. Read-only. [Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processpid)
---@field pid integer
---A socket over descriptor 0, made when it is first asked for. Raises an error if that is neither a pipe, a socket nor
---a terminal: use io.stdin then. Read-only. [Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processstdin)
---@field stdin net.Socket
---Is the channel open? Read-only. [Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processconnected)
---@field connected? boolean
---The channel to the parent. Read-only. [Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processchannel)
---@field channel? net.Channel
---Sends a message to the parent, perhaps with a server or a socket. Gives false when much waits already. The callback
---is called once it is sent, or with the error.
---
---Raises `ERR_MISSING_ARGS`, `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_INVALID_HANDLE_TYPE`,
---`ERR_WORKER_HANDLE_NOT_TRANSFERABLE`. Without a callback, 'error' with `ERR_IPC_CHANNEL_CLOSED`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processsendmessage-sendhandle-options-callback)
---@field send? fun(self: net.process, message: net.Message, handle?: net.SendHandle, options?: net.SendOptions, callback?: fun(err?: net.Error)): boolean
---Ends the channel. 'error' with `ERR_IPC_DISCONNECTED` if it has ended already.
---[Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processdisconnect)
---@field disconnect? fun(self: net.process)
local process = {}

---Emits 'exit', closes the Lua state as `os.exit(code, true)` does, and ends the process. What was written and has not
---left yet is lost: end your sockets first.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processexitcode)
---@param code? integer default 0
function process:exit(code) end

-- ---- the module ----

---Node's net module: TCP and Unix-socket servers and clients. `local net = require "cnet"`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html)
---@class cnet
---The class of servers; `net.Server(options, listener)` makes one.
---@field Server net.Server
---The class of sockets; `net.Socket(options)` makes one.
---@field Socket net.Socket
---The same as `Socket`, as in Node.
---@field Stream net.Socket
---The class of all that has events; `net.EventEmitter()` makes one.
---@field EventEmitter net.EventEmitter
---The class of errors; `net.Error(message, fields)` makes one.
---@field Error net.Error
---`net.BlockList()` makes a list of addresses to keep out.
---@field BlockList net.BlockList
---`net.BoundSocket(options)` takes an address now, for a server or a socket that will use it.
---@field BoundSocket net.BoundSocket
---`net.SocketAddress(options)` makes an address with a port.
---@field SocketAddress net.SocketAddress
---`net.AbortController()` makes what ends several things at once.
---@field AbortController AbortController
---The class of the signals of controllers.
---@field AbortSignal AbortSignal
---This process: its signals, its standard input, its parent.
---@field process net.process
---An event's name: its listeners hear every 'error' first, and do not count as having handled it.
---[Node](https://nodejs.org/docs/latest-v26.x/api/events.html#eventserrormonitor)
---@field errorMonitor lightuserdata
---"cnet" and the version.
---@field _VERSION string
local net = {}

---Makes a server, which listens once `listen` is called. The listener is one for 'connection'.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netcreateserveroptions-connectionlistener)
---@param options? net.ServerOptions
---@param listener? fun(socket: net.Socket)
---@return net.Server
---@overload fun(listener: fun(socket: net.Socket)): net.Server
function net.createServer(options, listener) end

---Makes a socket and connects it: see `socket:connect`, whose forms it takes, and whose errors it raises.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netconnect)
---@param port integer|string
---@param host? string
---@param callback? fun() a listener for 'connect', once
---@return net.Socket
---@overload fun(port: integer|string, callback: fun()): net.Socket
---@overload fun(path: string, callback?: fun()): net.Socket
---@overload fun(options: net.ConnectOptions, callback?: fun()): net.Socket
function net.connect(port, host, callback) end

---The same as `net.connect`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netcreateconnection)
---@param port integer|string
---@param host? string
---@param callback? fun()
---@return net.Socket
---@overload fun(port: integer|string, callback: fun()): net.Socket
---@overload fun(path: string, callback?: fun()): net.Socket
---@overload fun(options: net.ConnectOptions, callback?: fun()): net.Socket
function net.createConnection(port, host, callback) end

---Runs the event loop until nothing keeps it alive, or `net.stop()` is called, or a callback raises an error. Gives
---true if something is still alive.
---
---"once" waits for one turn's events, "nowait" takes what is there: for a host with a loop of its own. The handler is
---called where an error is raised, as xpcall's: `net.run(debug.traceback)`.
---
---An error of a callback, and an 'error' event that nobody hears, leaves `net.run` as it is. Nothing is lost by it:
---call `net.run()` again and the rest goes on. The first Ctrl-C, unless net.process listens to SIGINT, raises
---"interrupted!".
---
---Raises an error inside a callback and in a finalizer; `ERR_INVALID_ARG_VALUE`, `ERR_INVALID_ARG_TYPE`.
---@param mode? "default"|"once"|"nowait"
---@param handler? fun(err: any): any
---@return boolean alive
---@overload fun(handler: fun(err: any): any): boolean
function net.run(mode, handler) end

---Makes `net.run` return once the current callback is done. A later `net.run()` goes on.
function net.stop() end

---A descriptor that becomes readable when the loop has something to do: for a host that polls.
---@return integer
function net.backendFd() end

---How long, in ms, a host may wait for the descriptor before it calls `net.run("nowait")`: 0 not at all, -1 for ever.
---@return integer
function net.backendTimeout() end

---Strict mode, also by `CNET_STRICT=1` in the environment: the name of an event or an option that Node would ignore is
---an error with code `ERR_INVALID_ARG_VALUE`, which suggests the right name. Events of your own are for a
---`net.EventEmitter`, or have a name that is no string.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---@param on? boolean nil: as it is
---@return boolean was
function net.strict(on) end

---Goes over to luv's loop, with the timers, files and processes of luv beside cnet under either `net.run()` or
---`uv.run()`. Call it right after both are loaded: `require "luv"`, then `require "cnet"`.
---
---Raises an error that says why if luv is not loaded, is linked to another libuv, or something of cnet's is open.
---@return table luv
function net.useLuv() end

---Calls the function with the arguments once after `ms` milliseconds, 1 by default and at least.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#settimeoutcallback-delay-args)
---@param callback function
---@param ms? number
---@param ... any
---@return Timeout
function net.setTimeout(callback, ms, ...) end

---Calls the function with the arguments every `ms` milliseconds.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#setintervalcallback-delay-args)
---@param callback function
---@param ms? number
---@param ... any
---@return Timeout
function net.setInterval(callback, ms, ...) end

---Calls the function with the arguments after the events that are there now.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#setimmediatecallback-args)
---@param callback function
---@param ... any
---@return Immediate
function net.setImmediate(callback, ...) end

---Calls the function with the arguments right after the current callback, before anything else.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/process.html#processnexttickcallback-args)
---@param callback function
---@param ... any
function net.nextTick(callback, ...) end

---Stops the timer; what is no timer, or has fired, is no error.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#cleartimeouttimeout)
---@param timeout? Timeout
function net.clearTimeout(timeout) end

---The same as `net.clearTimeout`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#clearintervaltimeout)
---@param timeout? Timeout
function net.clearInterval(timeout) end

---Takes the call back; what is no immediate, or has run, is no error.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/timers.html#clearimmediateimmediate)
---@param immediate? Immediate
function net.clearImmediate(immediate) end

---4 or 6 for an IP address, 0 for anything else.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netisipinput)
---@param input any
---@return 0|4|6
function net.isIP(input) end

---Is it an IPv4 address, as a string?
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netisipv4input)
---@param input any
---@return boolean
function net.isIPv4(input) end

---Is it an IPv6 address, as a string?
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netisipv6input)
---@param input any
---@return boolean
function net.isIPv6(input) end

---The default of the option `autoSelectFamily`: true, unless it was set.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netgetdefaultautoselectfamily)
---@return boolean
function net.getDefaultAutoSelectFamily() end

---Sets the default of the option `autoSelectFamily`.
---
---Raises `ERR_INVALID_ARG_TYPE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netsetdefaultautoselectfamilyvalue)
---@param value boolean
function net.setDefaultAutoSelectFamily(value) end

---The default of the option `autoSelectFamilyAttemptTimeout`, in ms: 500, unless it was set.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netgetdefaultautoselectfamilyattempttimeout)
---@return integer
function net.getDefaultAutoSelectFamilyAttemptTimeout() end

---Sets the default of the option `autoSelectFamilyAttemptTimeout`, in ms; below 10 is 10.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/net.html#netsetdefaultautoselectfamilyattempttimeoutvalue)
---@param ms integer
function net.setDefaultAutoSelectFamilyAttemptTimeout(ms) end

return net
