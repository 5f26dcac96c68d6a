// A Poly VideoOS room through a poly2mqtt gateway, over plain lines on TCP. How to use it:
// docs/crestron.md. One file, C# 5 and the .NET Framework 4.7.2 alone: 4-Series, VC-4, any PC.

using System;
using System.Globalization;
using System.IO;
using System.Net.Sockets;
using System.Text;
using System.Threading;

namespace Poly2Mqtt
{
    /// <summary>Why a command failed.</summary>
    public sealed class CommandFailedEventArgs : EventArgs
    {
        internal CommandFailedEventArgs(string command, string code, string message)
        {
            Command = command;
            Code = code;
            Message = message;
        }

        public string Command { get; private set; }
        public string Code { get; private set; }
        public string Message { get; private set; }
    }

    /// <summary>
    /// One room. Connects by itself, and again whenever the connection is lost. Properties say what
    /// the codec said; while Online is false they are stale. Events come from threads of the room's
    /// own, and a handler that throws is not forgiven.
    /// </summary>
    public sealed class PolyRoom : IDisposable
    {
        private const int Silence = 10000, FirstWait = 1000, LongestWait = 30000, LongestLine = 1 << 20;

        // What is subscribed to.
        private static readonly string[] States =
        {
            "availability", "problem", "audio/muted", "audio/volume", "video/muted", "camera/presets/names",
            "call/state"
        };

        private readonly string host, token, prefix;
        private readonly int port;
        private readonly object gate = new object();
        private readonly ManualResetEvent ended = new ManualResetEvent(false);
        private Socket socket;
        private bool started;
        // Whether all states were told, whether one of them is of the room, and what they say of it.
        private volatile bool linked, known, available;
        private volatile bool heard;
        private volatile string trouble = "connecting", farewell, problem = "", presetNames = "";

        public PolyRoom(string host, int port, string room, string token)
        {
            this.host = host;
            this.port = port;
            this.token = token;
            prefix = "room/" + room + "/";
            CallState = "";
        }

        /// <summary>A property is another than it was.</summary>
        public event EventHandler Changed;

        /// <summary>A command of this room failed.</summary>
        public event EventHandler<CommandFailedEventArgs> CommandFailed;

        /// <summary>Gateway and codec are there.</summary>
        public bool Online { get { return linked && available; } }

        /// <summary>What is wrong, for a person; empty for nothing.</summary>
        public string Problem
        {
            get
            {
                if (!linked) return trouble;
                if (!known) return "the gateway shows no such room to this token";
                return problem != "" || available ? problem : "offline";
            }
        }

        public bool Muted { get; private set; }
        public bool VideoMuted { get; private set; }
        /// <summary>0 to 100.</summary>
        public int Volume { get; private set; }
        /// <summary>idle, dialing, ringing, connected or held; empty while unknown.</summary>
        public string CallState { get; private set; }

        /// <summary>The name of camera preset 1 to 10; empty if it has none.</summary>
        public string PresetName(int preset)
        {
            return Text(presetNames, preset.ToString(CultureInfo.InvariantCulture));
        }

        /// <summary>Begins to connect.</summary>
        public void Start()
        {
            if (started) return;
            started = true;
            var thread = new Thread(Run) { IsBackground = true, Name = "poly2mqtt " + prefix };
            thread.Start();
        }

        public void Dispose()
        {
            ended.Set();
            Drop();
        }

        public void SetMute(bool on) { Command("audio/muted/set", on ? "true" : "false"); }
        public void ToggleMute() { Command("audio/muted/set", "toggle"); }
        public void SetVideoMute(bool on) { Command("video/muted/set", on ? "true" : "false"); }
        public void SetVolume(int volume)
        {
            Command("audio/volume/set", volume.ToString(CultureInfo.InvariantCulture));
        }
        /// <summary>Recalls camera preset 1 to 10.</summary>
        public void ActivatePreset(int preset) { Command("camera/preset/" + preset + "/activate", ""); }
        /// <summary>Recalls a camera preset by its name in the gateway's configuration.</summary>
        public void ActivatePreset(string name)
        {
            Command("camera/preset/" + Uri.EscapeDataString(name) + "/activate", "");
        }
        public void StorePreset(int preset) { Command("camera/preset/" + preset + "/store", ""); }
        /// <summary>Moves until StopCamera: up, down, left, right, zoom_in or zoom_out.</summary>
        public void MoveCamera(string direction) { Command("camera/move", direction); }
        public void StopCamera() { Command("camera/stop", ""); }
        public void Dial(string address) { Command("call/dial", address); }
        public void Answer() { Command("call/answer", ""); }
        public void Reject() { Command("call/reject", ""); }
        public void HangUp() { Command("call/hangup", ""); }
        public void JoinNextMeeting() { Command("calendar/next/dial", ""); }

        /// <summary>Any command of the gateway, with its payload or an empty one.</summary>
        public void Command(string command, string payload)
        {
            if (!linked || !Send(prefix + command + " " + payload))
            {
                Fail(command, "offline", "the gateway is not connected: " + Problem);
            }
        }

        private void Run()
        {
            var wait = FirstWait;
            do
            {
                farewell = null;
                var why = "the gateway has closed the connection";
                try
                {
                    Talk();
                }
                catch (SocketException error)
                {
                    why = "the gateway cannot be reached: " + error.Message;
                }
                catch (ObjectDisposedException)
                {
                    // Given up by Watch, or by Dispose.
                }
                if (linked) wait = FirstWait;
                linked = false;
                trouble = farewell ?? why;
                Drop();
                Tell();
                if (ended.WaitOne(wait)) return;
                wait = Math.Min(wait * 2, LongestWait);
            }
            while (true);
        }

        // One connection, until it ends.
        private void Talk()
        {
            known = available = false;
            problem = presetNames = "";
            var mine = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, SendTimeout = 5000 };
            lock (gate) socket = mine;
            if (ended.WaitOne(0)) return;
            var connecting = mine.BeginConnect(host, port, null, null);
            if (!connecting.AsyncWaitHandle.WaitOne(Silence))
            {
                throw new SocketException((int)SocketError.TimedOut);
            }
            mine.EndConnect(connecting);
            if (!string.IsNullOrEmpty(token)) Send("token " + token);
            Send("subscribe " + prefix + string.Join(" " + prefix, States));
            // Answered after the states, so that whoever has the answer has them all.
            Send("ping");
            heard = true;
            using (new Timer(Watch, null, Silence, Silence)) Listen(mine);
        }

        private void Listen(Socket mine)
        {
            var bytes = new byte[4096];
            var line = new MemoryStream();
            int count;
            while ((count = mine.Receive(bytes)) > 0)
            {
                heard = true;
                for (var n = 0; n < count; n++)
                {
                    if (bytes[n] != '\n')
                    {
                        if (line.Length < LongestLine) line.WriteByte(bytes[n]);
                        continue;
                    }
                    Take(Encoding.UTF8.GetString(line.ToArray()).TrimEnd('\r'));
                    line.SetLength(0);
                }
            }
        }

        // Finds a connection that died without a word.
        private void Watch(object nothing)
        {
            if (!heard)
            {
                farewell = "the gateway does not answer";
                Drop();
            }
            heard = false;
            Send("ping");
        }

        private void Take(string line)
        {
            if (line == "pong" && !linked)
            {
                linked = true;
                Tell();
            }
            if (line.StartsWith("closed ", StringComparison.Ordinal))
            {
                farewell = line.Substring("closed ".Length);
            }
            if (!line.StartsWith(prefix, StringComparison.Ordinal)) return;
            var space = (line + " ").IndexOf(' ');
            var topic = line.Substring(prefix.Length, space - prefix.Length);
            var value = line.Substring(Math.Min(space + 1, line.Length));
            if (topic.EndsWith("/result", StringComparison.Ordinal))
            {
                Result(topic.Substring(0, topic.Length - "/result".Length), value);
            }
            else
            {
                State(topic, value);
            }
        }

        private void Result(string command, string value)
        {
            var parts = value.Split(new[] { ' ' }, 3);
            // What a newer command has made pointless is no failure.
            if (parts[0] != "error" || parts.Length < 3 || parts[1] == "superseded") return;
            Fail(command, parts[1], parts[2]);
        }

        private void State(string topic, string value)
        {
            int volume;
            switch (topic)
            {
                case "availability":
                    known = true;
                    available = value == "online";
                    break;
                case "problem": problem = Text(value, "code") == "none" ? "" : Text(value, "message"); break;
                case "audio/muted": Muted = value == "true"; break;
                case "video/muted": VideoMuted = value == "true"; break;
                case "audio/volume": if (int.TryParse(value, out volume)) Volume = volume; break;
                case "camera/presets/names": presetNames = value; break;
                case "call/state": CallState = value; break;
                default: return;
            }
            // Nobody is told half of the states.
            if (linked) Tell();
        }

        // A text of a JSON object of texts.
        private static string Text(string json, string name)
        {
            var begin = json.IndexOf("\"" + name + "\":\"", StringComparison.Ordinal);
            if (begin < 0) return "";
            var text = new StringBuilder();
            for (var n = begin + name.Length + 4; n < json.Length && json[n] != '"'; n++)
            {
                if (json[n] == '\\' && n + 1 < json.Length) n++;
                text.Append(json[n]);
            }
            return text.ToString();
        }

        private bool Send(string line)
        {
            var bytes = Encoding.UTF8.GetBytes(line.Replace('\r', ' ').Replace('\n', ' ') + "\n");
            lock (gate)
            {
                if (socket == null || !socket.Connected) return false;
                try
                {
                    socket.Send(bytes);
                    return true;
                }
                catch (SocketException)
                {
                    // Half a line may have been sent: only a new connection helps.
                    socket.Close();
                    return false;
                }
            }
        }

        private void Drop()
        {
            lock (gate)
            {
                if (socket != null) socket.Close();
                socket = null;
            }
        }

        private void Tell()
        {
            var changed = Changed;
            if (changed != null && !ended.WaitOne(0)) changed(this, EventArgs.Empty);
        }

        private void Fail(string command, string code, string message)
        {
            var failed = CommandFailed;
            if (failed != null) failed(this, new CommandFailedEventArgs(command, code, message));
        }
    }
}
