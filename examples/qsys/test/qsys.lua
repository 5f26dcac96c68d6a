-- A small stand-in for the Q-SYS runtime: Controls, Properties, Timer and WebSocket, as far as the
-- plugin uses them. Lua 5.3, luasocket and dkjson.

local socket = require("socket")
local dkjson = require("dkjson")

local qsys = {
  json = { encode = dkjson.encode, decode = function(text)
    local value, _, problem = dkjson.decode(text)
    if problem then error(problem) end
    return value
  end },
}

local sockets, timers = {}, {}

-- Timers ------------------------------------------------------------------------------------------

local Timer = {}
Timer.__index = Timer

function Timer.New()
  local timer = setmetatable({}, Timer)
  table.insert(timers, timer)
  return timer
end

function Timer:Start(seconds)
  self.period, self.due = seconds, socket.gettime() + seconds
end

function Timer:Stop()
  self.due = nil
end

-- WebSocket ---------------------------------------------------------------------------------------

local WebSocket = {}
WebSocket.__index = WebSocket

function WebSocket.New()
  return setmetatable({ buffer = "" }, WebSocket)
end

-- Q-SYS connects in the background: handlers are called from its loop, never from within Connect.
function WebSocket:Connect(protocol, host, path, port)
  assert(protocol == "ws", "the stand-in has no TLS")
  self.address = { host = host, path = path, port = port }
  sockets[self] = true
end

function WebSocket:Close()
  if self.tcp then self.tcp:close() end
  sockets[self] = nil
end

local function fire(object, name, ...)
  if object[name] then object[name](object, ...) end
end

function WebSocket:fail(name, ...)
  self:Close()
  fire(self, name, ...)
end

function WebSocket:open()
  local at = self.address
  self.tcp = socket.tcp()
  self.tcp:settimeout(5)
  local connected, problem = self.tcp:connect(at.host, at.port)
  if not connected then return self:fail("Error", problem) end
  self.tcp:send("GET " .. at.path .. " HTTP/1.1\r\nHost: " .. at.host .. ":" .. at.port ..
    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" ..
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
  local status = self.tcp:receive("*l") or "no answer"
  if not status:find("^HTTP/1.1 101 ") then return self:fail("Error", status) end
  repeat local line = self.tcp:receive("*l") until not line or line == ""
  self.tcp:settimeout(0)
  self.ready = true
  fire(self, "Connected")
end

function WebSocket:frame(opcode, data)
  local head
  if #data < 126 then
    head = string.pack("BB", 0x80 | opcode, 0x80 | #data)
  else
    head = string.pack(">BBI2", 0x80 | opcode, 0x80 | 126, #data)
  end
  -- Masked with zeros, which leaves the data as it is.
  self.tcp:send(head .. "\0\0\0\0" .. data)
end

function WebSocket:Write(data)
  self:frame(1, data)
end

-- The next frame of the buffer: its opcode and data.
function WebSocket:take()
  if #self.buffer < 2 then return end
  local first, length = string.unpack("BB", self.buffer)
  local at = 3
  if length == 126 then
    if #self.buffer < 4 then return end
    length, at = string.unpack(">I2", self.buffer, 3)
  elseif length == 127 then
    if #self.buffer < 10 then return end
    length, at = string.unpack(">I8", self.buffer, 3)
  end
  if #self.buffer < at + length - 1 then return end
  local data = self.buffer:sub(at, at + length - 1)
  self.buffer = self.buffer:sub(at + length)
  return first & 15, data
end

function WebSocket:read()
  local data, problem, rest = self.tcp:receive(65536)
  self.buffer = self.buffer .. (data or rest or "")
  for opcode, frame in self.take, self do
    if opcode == 1 then
      fire(self, "Data", frame)
    elseif opcode == 9 then
      self:frame(10, frame)
    elseif opcode == 8 then
      return self:fail("Closed")
    end
    if not sockets[self] then return end
  end
  if problem == "closed" then self:fail("Closed") end
end

-- Controls ----------------------------------------------------------------------------------------

-- A control whose handler is called at every change, also at those that the plugin makes itself:
-- it must not take its own changes for somebody's.
local function control()
  local values = { Boolean = false, Value = 0, String = "" }
  return setmetatable({}, {
    __index = values,
    __newindex = function(self, key, value)
      local changed = values[key] ~= value
      rawset(values, key, value)
      if changed and values.EventHandler and key ~= "EventHandler" then values.EventHandler(self) end
    end,
  })
end

-- The plugin ---------------------------------------------------------------------------------------

-- Loads the plugin as the designer does, without Controls.
function qsys.design(file)
  local env = setmetatable({}, { __index = _G })
  assert(loadfile(file, "t", env))()
  return env
end

-- Runs the plugin with these properties; the others have their defaults. Gives its controls.
function qsys.run(file, given)
  local design, controls, properties = qsys.design(file), {}, {}
  for _, property in ipairs(design.GetProperties()) do
    local value = given[property.Name]
    if value == nil then value = property.Value end
    properties[property.Name] = { Value = value }
  end
  for _, described in ipairs(design.GetControls(properties)) do
    local made = control()
    if described.Count > 1 then
      made = {}
      for n = 1, described.Count do made[n] = control() end
    end
    controls[described.Name] = made
  end
  local env = setmetatable({
    Controls = controls, Properties = properties, Timer = Timer, WebSocket = WebSocket,
    require = function(name)
      assert(name == "rapidjson", name)
      return qsys.json
    end,
  }, { __index = _G })
  assert(loadfile(file, "t", env))()
  return controls
end

-- One turn of the loop.
function qsys.turn()
  for ws in pairs(sockets) do
    if not ws.ready then
      ws:open()
      return
    end
  end
  local open = {}
  for ws in pairs(sockets) do
    table.insert(open, ws.tcp)
    open[ws.tcp] = ws
  end
  for _, tcp in ipairs(socket.select(open, nil, 0.02)) do
    if sockets[open[tcp]] then open[tcp]:read() end
  end
  local now = socket.gettime()
  for _, timer in ipairs(timers) do
    if timer.due and timer.due <= now then
      timer.due = now + timer.period
      timer.EventHandler(timer)
    end
  end
end

-- Runs the loop until something holds.
function qsys.wait(what, holds)
  local deadline = socket.gettime() + 60
  while not holds() do
    assert(socket.gettime() < deadline, "never came: " .. what)
    qsys.turn()
  end
  print("ok   " .. what)
end

return qsys
