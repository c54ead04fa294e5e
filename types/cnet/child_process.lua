---@meta cnet.child_process
-- Processes that talk with this one: fork, and nothing else of Node's child_process.

---Options of `fork`.
---@class child_process.ForkOptions
---The program that runs the script. Default: this interpreter.
---@field execPath? string
---Arguments of the program that stand before the script.
---@field execArgv? string[]
---The whole environment of the child, instead of a copy of ours.
---@field env? table<string, string|number|boolean>
---The folder in which it starts.
---@field cwd? string
---true: `stdin`, `stdout` and `stderr` are sockets here, instead of being the same as ours.
---@field silent? boolean
---What the child's descriptors are, `stdio[1]` for descriptor 0 and so on: "pipe", "inherit", "ignore", "ipc" (one of
---them must be), a descriptor, or an object that has one. A word alone stands for the first three.
---@field stdio? "pipe"|"inherit"|"ignore"|"overlapped"|table<integer, string|integer|net.Socket|net.Server|net.Native|net.FdHandle>
---"json" is the only one there is.
---@field serialization? "json"
---Make it the leader of a process group of its own.
---@field detached? boolean
---@field uid? integer
---@field gid? integer
---Aborting kills the child, and gives 'error'.
---@field signal? AbortSignal
---ms after which the child is killed.
---@field timeout? integer
---What it is killed with, by `signal` and `timeout`. Default "SIGTERM".
---@field killSignal? string|integer

---A process that was forked. It keeps the loop going until it has exited and its channel has ended. `local child
---<close> = ...` sends SIGTERM at the end of the block.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#class-childprocess)
---@class ChildProcess: net.EventEmitter
---It was started.
---@field on fun(self: ChildProcess, event: "spawn", listener: fun()): ChildProcess
---It has sent something. Messages wait until somebody listens.
---@field on fun(self: ChildProcess, event: "message", listener: fun(message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): ChildProcess
---Its channel has ended.
---@field on fun(self: ChildProcess, event: "disconnect", listener: fun()): ChildProcess
---It has ended, with an exit status or by a signal: one of the two is nil.
---@field on fun(self: ChildProcess, event: "exit", listener: fun(code?: integer, signal?: string)): ChildProcess
---It has ended, and so have its channel and its outputs.
---@field on fun(self: ChildProcess, event: "close", listener: fun(code?: integer, signal?: string)): ChildProcess
---It could not be started or killed, a message could not be sent, or what came is no message.
---@field on fun(self: ChildProcess, event: "error", listener: fun(err: net.Error)): ChildProcess
---@field on fun(self: ChildProcess, event: any, listener: fun(...: any)): ChildProcess
---@field once fun(self: ChildProcess, event: "spawn", listener: fun()): ChildProcess
---@field once fun(self: ChildProcess, event: "message", listener: fun(message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): ChildProcess
---@field once fun(self: ChildProcess, event: "disconnect", listener: fun()): ChildProcess
---@field once fun(self: ChildProcess, event: "exit", listener: fun(code?: integer, signal?: string)): ChildProcess
---@field once fun(self: ChildProcess, event: "close", listener: fun(code?: integer, signal?: string)): ChildProcess
---@field once fun(self: ChildProcess, event: "error", listener: fun(err: net.Error)): ChildProcess
---@field once fun(self: ChildProcess, event: any, listener: fun(...: any)): ChildProcess
---nil if it could not be started. Read-only, as all of these.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocesspid)
---@field pid? integer
---Is the channel open? [Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessconnected)
---@field connected boolean
---The channel, while it is open. [Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocesschannel)
---@field channel? net.Channel
---nil while it runs, and if a signal has ended it. Below 0: libuv's number of why it could not be started.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessexitcode)
---@field exitCode? integer
---The signal that has ended it.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocesssignalcode)
---@field signalCode? string
---Was a signal sent to it by `kill`?
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocesskilled)
---@field killed boolean
---The program that was started. [Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessspawnfile)
---@field spawnfile string
---Its arguments, beginning with the program.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessspawnargs)
---@field spawnargs string[]
---A socket for each descriptor that is a pipe: `stdio[1]` is `stdin`. `n` is how many descriptors there are.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessstdio)
---@field stdio? table<integer|"n", net.Socket|integer>
---The child's input, if it is a pipe.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessstdin)
---@field stdin? net.Socket
---The child's output, if it is a pipe.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessstdout)
---@field stdout? net.Socket
---The child's error output, if it is a pipe.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessstderr)
---@field stderr? net.Socket
---Sends a message to the child, perhaps with a server or a socket. A socket is the child's from then on, and closed
---here unless `keepOpen` is true; a server listens in both. Gives false when much waits already. The callback is called
---once it is sent, or with the error.
---
---Raises `ERR_MISSING_ARGS`, `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE` for what JSON cannot say,
---`ERR_INVALID_HANDLE_TYPE`, `ERR_WORKER_HANDLE_NOT_TRANSFERABLE`. Without a callback, 'error' with
---`ERR_IPC_CHANNEL_CLOSED`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocesssendmessage-sendhandle-options-callback)
---@field send fun(self: ChildProcess, message: net.Message, handle?: net.SendHandle, options?: net.SendOptions, callback?: fun(err?: net.Error)): boolean
---Ends the channel. 'error' with `ERR_IPC_DISCONNECTED` if it has ended already.
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessdisconnect)
---@field disconnect fun(self: ChildProcess)
local ChildProcess = {}

---Sends a signal, "SIGTERM" by default, and tells whether it could be sent. 0 tells whether the child is there.
---
---Raises `ERR_UNKNOWN_SIGNAL`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocesskillsignal)
---@param signal? string|integer
---@return boolean sent
function ChildProcess:kill(signal) end

---Undoes `unref`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessref)
function ChildProcess:ref() end

---Lets `net.run()` return although the child runs. The channel keeps the loop going all the same:
---`child.channel:unref()`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#subprocessunref)
function ChildProcess:unref() end

---`local child_process = require "cnet.child_process"`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html)
---@class cnet.child_process
---The class of what `fork` gives.
---@field ChildProcess ChildProcess
local child_process = {}

---Starts a script in a process of its own, with a channel between the two: what one side sends, the other hears as
---'message'. The child finds its side in `net.process`, be it Lua or Node, and a parent in Node finds a Lua child
---alike.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE`, `ERR_CHILD_PROCESS_IPC_REQUIRED`,
---`ERR_IPC_ONE_PIPE`, `ERR_INVALID_SYNC_FORK_INPUT`, `ERR_UNKNOWN_SIGNAL`, or a system
---error. Events: 'error' with ENOENT, EACCES, EAGAIN, EMFILE or ENFILE.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/child_process.html#child_processforkmodulepath-args-options)
---@param script string
---@param args? string[]
---@param options? child_process.ForkOptions
---@return ChildProcess
---@overload fun(script: string, options: child_process.ForkOptions): ChildProcess
function child_process.fork(script, args, options) end

return child_process
