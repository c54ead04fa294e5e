---@meta cnet.cluster
-- Workers: several processes that serve the same ports.

---What `setupPrimary` takes: the options of `fork`, and which script the workers run.
---@class cluster.Settings: child_process.ForkOptions
---The workers' script. Default: the one that runs.
---@field exec? string
---Its arguments. Default: those of the script that runs.
---@field args? string[]

---Where a worker listens.
---@class cluster.Address
---An IP address or a path; nil for every address.
---@field address? string
---4 or 6; -1 for a path.
---@field addressType? integer
---@field port? integer
---@field fd? integer

---A worker, seen from the primary, or in a worker itself as `cluster.worker`. `cluster.Worker(options)` makes one of a
---process that was forked otherwise; scripts hardly need that.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#class-worker)
---@class cluster.Worker: net.EventEmitter
---@overload fun(options?: { id?: integer, process?: ChildProcess, state?: string }): cluster.Worker
---It runs, and has told so.
---@field on fun(self: cluster.Worker, event: "online", listener: fun()): cluster.Worker
---One of its servers listens.
---@field on fun(self: cluster.Worker, event: "listening", listener: fun(address: cluster.Address)): cluster.Worker
---It has sent something.
---@field on fun(self: cluster.Worker, event: "message", listener: fun(message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): cluster.Worker
---Its channel has ended.
---@field on fun(self: cluster.Worker, event: "disconnect", listener: fun()): cluster.Worker
---It has ended, with an exit status or by a signal: one of the two is nil.
---@field on fun(self: cluster.Worker, event: "exit", listener: fun(code?: integer, signal?: string)): cluster.Worker
---As 'error' of its process.
---@field on fun(self: cluster.Worker, event: "error", listener: fun(err: net.Error)): cluster.Worker
---@field on fun(self: cluster.Worker, event: any, listener: fun(...: any)): cluster.Worker
---@field once fun(self: cluster.Worker, event: "online", listener: fun()): cluster.Worker
---@field once fun(self: cluster.Worker, event: "listening", listener: fun(address: cluster.Address)): cluster.Worker
---@field once fun(self: cluster.Worker, event: "message", listener: fun(message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): cluster.Worker
---@field once fun(self: cluster.Worker, event: "disconnect", listener: fun()): cluster.Worker
---@field once fun(self: cluster.Worker, event: "exit", listener: fun(code?: integer, signal?: string)): cluster.Worker
---@field once fun(self: cluster.Worker, event: "error", listener: fun(err: net.Error)): cluster.Worker
---@field once fun(self: cluster.Worker, event: any, listener: fun(...: any)): cluster.Worker
---1 for the first worker, and so on. [Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workerid)
---@field id integer
---In the primary the worker's ChildProcess, in the worker `net.process`.
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workerprocess)
---@field process ChildProcess|net.process
---Was the worker's end meant? nil before it ends.
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workerexitedafterdisconnect)
---@field exitedAfterDisconnect? boolean
---Of Node's inner life: "none", "online", "listening", "disconnected", "dead"; in a worker "disconnecting",
---"destroying".
---@field state string
local Worker = {}

---`worker.process:send`: in a worker, to the primary.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workersendmessage-sendhandle-options-callback)
---@param message net.Message
---@param handle? net.SendHandle
---@param options? net.SendOptions
---@param callback? fun(err?: net.Error)
---@return boolean
---@overload fun(self: cluster.Worker, message: net.Message, callback: fun(err?: net.Error)): boolean
---@overload fun(self: cluster.Worker, message: net.Message, handle: net.SendHandle, callback: fun(err?: net.Error)): boolean
function Worker:send(message, handle, options, callback) end

---Closes the worker's servers, waits for their connections, and ends its channel; the worker then ends by itself unless
---something else keeps it alive. `exitedAfterDisconnect` is true.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workerdisconnect)
---@return self
function Worker:disconnect() end

---In the primary: sends the worker a signal, "SIGTERM" by default. In the worker: ends the channel and the process.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workerkillsignal)
---@param signal? string|integer
function Worker:kill(signal) end

---The same as `kill`, which calls it.
---@param signal? string|integer
function Worker:destroy(signal) end

---Is its channel open?
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workerisconnected)
---@return boolean
function Worker:isConnected() end

---Has its process ended?
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#workerisdead)
---@return boolean
function Worker:isDead() end

---`local cluster = require "cnet.cluster"`: an emitter with these fields. In the primary, the process that was started
---by hand, `cluster.fork()` starts workers, which run the same script; there `cluster.isWorker` is true, and a server
---that listens shares the port with the other workers: the primary listens for all of them.
---
---The functions are called with a '.', and take a ':' too.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html)
---@class cnet.cluster: net.EventEmitter
---A worker was forked.
---@field on fun(self: cnet.cluster, event: "fork", listener: fun(worker: cluster.Worker)): cnet.cluster
---A worker runs, and has told so.
---@field on fun(self: cnet.cluster, event: "online", listener: fun(worker: cluster.Worker)): cnet.cluster
---A server of a worker listens.
---@field on fun(self: cnet.cluster, event: "listening", listener: fun(worker: cluster.Worker, address: cluster.Address)): cnet.cluster
---A worker has sent something.
---@field on fun(self: cnet.cluster, event: "message", listener: fun(worker: cluster.Worker, message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): cnet.cluster
---A worker's channel has ended.
---@field on fun(self: cnet.cluster, event: "disconnect", listener: fun(worker: cluster.Worker)): cnet.cluster
---A worker has ended, with an exit status or by a signal: one of the two is nil.
---@field on fun(self: cnet.cluster, event: "exit", listener: fun(worker: cluster.Worker, code?: integer, signal?: string)): cnet.cluster
---`setupPrimary` was called, or a worker forked.
---@field on fun(self: cnet.cluster, event: "setup", listener: fun(settings: cluster.Settings)): cnet.cluster
---@field on fun(self: cnet.cluster, event: any, listener: fun(...: any)): cnet.cluster
---@field once fun(self: cnet.cluster, event: "fork", listener: fun(worker: cluster.Worker)): cnet.cluster
---@field once fun(self: cnet.cluster, event: "online", listener: fun(worker: cluster.Worker)): cnet.cluster
---@field once fun(self: cnet.cluster, event: "listening", listener: fun(worker: cluster.Worker, address: cluster.Address)): cnet.cluster
---@field once fun(self: cnet.cluster, event: "message", listener: fun(worker: cluster.Worker, message: any, handle?: net.Server|net.Socket|net.BoundSocket|net.Native)): cnet.cluster
---@field once fun(self: cnet.cluster, event: "disconnect", listener: fun(worker: cluster.Worker)): cnet.cluster
---@field once fun(self: cnet.cluster, event: "exit", listener: fun(worker: cluster.Worker, code?: integer, signal?: string)): cnet.cluster
---@field once fun(self: cnet.cluster, event: "setup", listener: fun(settings: cluster.Settings)): cnet.cluster
---@field once fun(self: cnet.cluster, event: any, listener: fun(...: any)): cnet.cluster
---Is this the process that starts the workers?
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterisprimary)
---@field isPrimary boolean
---Deprecated: `isPrimary`. [Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterismaster)
---@field isMaster boolean
---Is this a worker? [Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterisworker)
---@field isWorker boolean
---In the primary: the workers by their ids.
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterworkers)
---@field workers? table<integer, cluster.Worker>
---In a worker: the worker itself. [Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterworker)
---@field worker? cluster.Worker
---The class of workers.
---@field Worker cluster.Worker
---In the primary: what the workers to come are forked with.
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clustersettings)
---@field settings? cluster.Settings
---In the primary: who gives connections to workers, `SCHED_RR` (the primary, to each in turn) or `SCHED_NONE` (the
---kernel). Set it before the first fork, or by NODE_CLUSTER_SCHED_POLICY=none.
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterschedulingpolicy)
---@field schedulingPolicy? integer
---In the primary.
---@field SCHED_NONE? 1
---In the primary.
---@field SCHED_RR? 2
local cluster = {}

---In the primary: starts a worker, with the environment of this process and the variables in `env`.
---
---Raises what `fork` of child_process raises, and `ERR_INVALID_ARG_VALUE` for a `schedulingPolicy` that is none.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterforkenv)
---@param env? table<string, string|number|boolean>
---@return cluster.Worker
function cluster.fork(env) end

---In the primary: changes `settings`, for the workers to come.
---
---Raises `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clustersetupprimarysettings)
---@param settings? cluster.Settings
function cluster.setupPrimary(settings) end

---Deprecated: `setupPrimary`.
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clustersetupmastersettings)
---@param settings? cluster.Settings
function cluster.setupMaster(settings) end

---In the primary: disconnects every worker. The callback is called when all of them are gone (in Node, when the first
---one is).
---
---[Node](https://nodejs.org/docs/latest-v26.x/api/cluster.html#clusterdisconnectcallback)
---@param callback? fun()
function cluster.disconnect(callback) end

return cluster
