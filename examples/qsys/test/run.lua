-- The plugin in the stand-in, against a running gateway. Run it with: tests/clients.sh qsys

local here = arg[0]:match("^(.*/)") or "./"
package.path = here .. "?.lua;" .. package.path
local qsys = require("qsys")
local http = require("socket.http")

local plugin = here .. "../poly2mqtt-room.qplug"
local control_port = assert(os.getenv("CONTROL"), "run it with tests/clients.sh")

-- As Q-SYS Designer sees it -----------------------------------------------------------------------

local design = qsys.design(plugin)
local names = {}
for _, control in ipairs(design.GetControls {}) do
  for n = 1, control.Count do
    names[control.Count > 1 and control.Name .. " " .. n or control.Name] = true
  end
end
local layout = design.GetControlLayout {}
for name in pairs(names) do assert(layout[name], name .. " is nowhere in the layout") end
for name in pairs(layout) do assert(names[name], name .. " is laid out, but no control") end
print("ok   every control has its place")

-- The room alone ----------------------------------------------------------------------------------

local sent, shown = {}, {}
local function newest() return qsys.json.decode(sent[#sent]) end
local room = design.NewRoom("x", qsys.json,
  function(text) table.insert(sent, text) end,
  function(topic, value) shown[topic] = value end)

room.set("audio/muted", true)
assert(#sent == 0 and shown.error ~= "", "a command without a gateway says so")
room.opened()
room.received('{"topic":"room/x/audio/volume","payload":10,"retain":true}')
room.set("audio/volume", 10)
assert(#sent == 1, "what is so already is not set")
room.set("audio/volume", 20)
room.set("audio/volume", 30)
room.received('{"topic":"room/x/audio/volume","payload":20,"retain":true}')
room.received('{"id":1,"topic":"room/x/audio/volume/set/result","payload":{"ok":true}}')
assert(shown["audio/volume"] == 10, "a fader is not pushed back while it is moved")
room.received('{"topic":"room/x/audio/volume","payload":30,"retain":true}')
room.received('{"id":2,"topic":"room/x/audio/volume/set/result","payload":{"ok":true}}')
assert(shown["audio/volume"] == 30)
room.set("audio/volume", 99)
room.received('{"id":3,"payload":{"ok":false,"error":{"code":"offline","message":"it is off"}}}')
assert(shown["audio/volume"] == 30 and shown.error == "it is off", "a failed set is taken back")
room.command("camera/stop")
room.received('{"id":4,"payload":{"ok":false,"error":{"code":"superseded","message":"newer"}}}')
assert(shown.error == "it is off")
room.received('{"id":"all","subscribed":[]}')
assert(shown.problem:find('no room "x"', 1, true))
for _, odd in ipairs { "", "x", "[]", "{}", "7", "{", '{"topic":7}', '{"id":9,"payload":null}',
  '{"error":{"code":"invalid_payload"}}', '{"topic":"room/x/audio/volume","payload":null}',
  '{"topic":"room/y/audio/volume","payload":1}', '{"topic":"room/x/problem","payload":7}' } do
  room.received(odd)
end
assert(shown["audio/volume"] == nil, "a state that went away is none")
assert(newest().topic == "room/x/camera/stop")
print("ok   the room alone")

local noon = os.time { year = 2026, month = 5, day = 4, hour = 12, min = 5 }
for _, case in ipairs {
  { nil, "" },
  { { subject = "Planning", startTime = noon }, "12:05 Planning" },
  { { subject = "Planning", startTime = noon * 1000 }, "12:05 Planning" },
  { { subject = "", startTime = tostring(noon) }, "12:05 No subject" },
  { { subject = 'A "quoted" café' }, 'A "quoted" café' },
  { { startTime = "soon" }, "No subject" },
} do
  assert(design.MeetingText(case[1]) == case[2], case[2])
end
assert(design.ReadinessText(nil) == "" and design.ReadinessText { ok = true, checks = {} } == "")
assert(design.ReadinessText { checks = {
  { name = "login", ok = true, message = "in" }, { ok = false, message = "no camera" },
  { ok = false, message = "no microphone" }, 7,
} } == "no camera; no microphone")
assert(design.Escape('a/b "ü"%') == "a%2Fb%20%22%C3%BC%22%25")
print("ok   words for meetings and checks")

-- Against the gateway -----------------------------------------------------------------------------

local function person(what) assert(http.request(control_port .. "/" .. what, "")) end
local function device() return qsys.json.decode((http.request(control_port .. "/state"))) end
local function gateway(what) assert(os.execute('"$GATEWAY" ' .. what)) end
local function wait_for_device(what, holds)
  qsys.wait(what, function()
    for _ = 1, 5 do qsys.turn() end
    return holds(device())
  end)
end

-- What a finger does to a button.
local function hold(control) control.Boolean = true end
local function release(control) control.Boolean = false end
local function press(control) hold(control) release(control) end
-- A trigger only tells that it was pressed.
local function trigger(control) control.EventHandler(control) end

local given = {
  Gateway = "127.0.0.1", Port = tonumber(os.getenv("HTTP_PORT")), Room = "1",
  Token = os.getenv("TOKEN"),
}
local function with(more) return setmetatable(more, { __index = given }) end

local stranger = qsys.run(plugin, with { Token = "wrong" })
qsys.wait("a wrong token is a fault", function()
  return stranger.Status.Value == 2 and stranger.Problem.String:find("token")
end)
local lost = qsys.run(plugin, with { Room = "nowhere" })
qsys.wait("so is a room that does not exist", function()
  return lost.Status.Value == 2 and lost.Problem.String:find("no room")
end)

local controls = qsys.run(plugin, given)
assert(controls.Status.Value == 5, "initializing")
qsys.wait("online", function() return controls.Online.Boolean end)
qsys.wait("the states are there", function()
  return controls.Volume.Value == 62 and controls.CallState.String == "idle"
    and controls.Status.Value == 0
end)

assert(controls.Availability.String == "online")
assert(controls.Security.String:find("token can be read"), "a token that goes in clear is told")
qsys.wait("the meetings of now and next", function()
  return controls.CurrentMeeting.String:find("^%d%d:%d%d Stand%-up$")
    and controls.NextMeeting.String:find("^%d%d:%d%d Planning$")
end)
trigger(controls.JoinCurrent)
qsys.wait("the current meeting is joined", function() return controls.InMeeting.Boolean end)
assert(qsys.json.encode(device().dialled):find("standup@example.com", 1, true))
trigger(controls.HangUp)
qsys.wait("and left", function() return not controls.InMeeting.Boolean and not controls.InCall.Boolean end)

hold(controls.Mute)
wait_for_device("mute mutes the device", function(it) return it.audio.muted end)
qsys.wait("and stays pressed", function() return controls.Mute.Boolean end)
person("mute?on=false")
qsys.wait("a person unmutes, the button shows it", function() return not controls.Mute.Boolean end)
person("mute?on=true")
qsys.wait("a person mutes, the button shows it", function() return controls.Mute.Boolean end)

hold(controls.VideoMute)
wait_for_device("video mute", function(it) return it.video_muted end)

for volume = 0, 41 do controls.Volume.Value = volume end
wait_for_device("the fader's last place lands", function(it) return it.audio.volume == 41 end)
qsys.wait("and shows", function() return controls.Volume.Value == 41 end)

trigger(controls.Preset[3])
wait_for_device("preset 3", function(it) return it.cameras.active_preset == 3 end)
qsys.wait("presets have their names", function()
  return controls.PresetName[1].String == "Whole table" and controls.PresetName[2].String == ""
    and controls.PresetName[3].String == "Lectern"
end)
controls.PresetWanted.String = "Whole table"
trigger(controls.PresetByName)
wait_for_device("a preset by its name", function(it) return it.cameras.active_preset == 1 end)
controls.PresetWanted.String = "Wall"
trigger(controls.PresetByName)
qsys.wait("a wrong name is told the right ones, without escapes", function()
  return controls.LastError.String:find('"Whole table", "Lectern"', 1, true)
end)
trigger(controls.Preset[3])
qsys.wait("a right one ends the error", function() return controls.LastError.String == "" end)
trigger(controls.Dial)
qsys.wait("dialling nobody is an error", function() return controls.LastError.String ~= "" end)

hold(controls.PanLeft)
wait_for_device("the camera moves while it is held", function(it)
  return qsys.json.encode(it.cameras.moving):lower():find("left")
end)
qsys.wait("the error is gone", function() return controls.LastError.String == "" end)
release(controls.PanLeft)
wait_for_device("and stops when it is let go", function(it) return it.cameras.moving == nil end)

controls.DialString.String = "alice@example.com"
trigger(controls.Dial)
qsys.wait("dialling", function() return controls.CallState.String == "dialing" end)
person("answer")
qsys.wait("in a call", function() return controls.InCall.Boolean end)
trigger(controls.HangUp)
qsys.wait("hung up", function() return controls.CallState.String == "idle" end)
assert(qsys.json.encode(device().dialled):find("alice@example.com", 1, true))

person("ring?from=bob@example.com")
qsys.wait("ringing", function() return controls.Ringing.Boolean end)
trigger(controls.Answer)
qsys.wait("answered", function() return controls.InCall.Boolean and not controls.Ringing.Boolean end)
trigger(controls.HangUp)
qsys.wait("hung up again", function() return not controls.InCall.Boolean end)
person("ring?from=bob@example.com")
qsys.wait("ringing again", function() return controls.Ringing.Boolean end)
trigger(controls.Reject)
qsys.wait("rejected", function() return controls.CallState.String == "idle" end)

trigger(controls.CheckRoom)
qsys.wait("a check of the room says what it found", function()
  return controls.Ready.Boolean or controls.Readiness.String ~= "" or controls.LastError.String ~= ""
end)

gateway("stop")
qsys.wait("the gateway stops", function()
  return not controls.Online.Boolean and controls.Status.Value == 2
end)
press(controls.Mute)
assert(controls.LastError.String:find("not connected"))
person("mute?on=false")
gateway("start")
qsys.wait("it is back, and so is the room", function() return controls.Online.Boolean end)
qsys.wait("with what changed meanwhile", function()
  return not controls.Mute.Boolean and controls.Volume.Value == 41 and controls.Status.Value == 0
end)

gateway("freeze")
qsys.wait("a gateway that says nothing is found out", function()
  return not controls.Online.Boolean and controls.Problem.String:find("does not answer")
end)
gateway("thaw")
qsys.wait("and is back", function() return controls.Online.Boolean end)

person("reboot?seconds=3")
hold(controls.Mute)
qsys.wait("the device is away", function()
  return not controls.Online.Boolean and controls.Problem.String ~= ""
    and controls.Availability.String == "offline"
end)
qsys.wait("and back", function()
  return controls.Online.Boolean and controls.Problem.String == ""
end)
print("qsys: all passed")
